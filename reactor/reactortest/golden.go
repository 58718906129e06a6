package reactortest

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

// updateGolden is the variable of the environment that lets [Golden] write samples.
const updateGolden = "PENSTOCK_UPDATE"

// Golden fails the test where a payload that is in logs already would be read or written in another
// way than before. A directory, which belongs into version control, keeps a sample of each kind and
// schema version, as it is encoded:
//
//	func TestPayloadsStayReadable(t *testing.T) {
//		reactortest.Golden(t, shop.Types, "testdata/payloads")
//	}
//
// For each kind among the types:
//   - a sample that was kept of the present schema version is what is written now;
//   - samples of older versions can be read, through the upcasters;
//   - what is written can be read again, and is the same then.
//
// A change of a type, such as another name of a field, needs another SchemaVersion and an upcaster.
// Samples of new kinds and versions are written with PENSTOCK_UPDATE=1 in the environment; one that
// is there is never written again. A sample whose kind is not among the types any more fails, too:
// remove it when no log has such events.
//
// A sample has something in each exported field, the same in every run. Where that makes no valid
// payload, as for fields that are checked when they are decoded, the test passes one of its own for
// that kind. What an interface holds is to be passed as well. A codec other than JSON must encode
// equal values as the same bytes, whenever the test runs.
func Golden(tb testing.TB, types *reactor.Types, dir string, samples ...store.Payload) {
	tb.Helper()
	g := golden{types: types, dir: dir, update: os.Getenv(updateGolden) != ""}
	if err := types.Err(); err != nil {
		tb.Fatalf("reactortest: golden: %v", err)
	}
	if err := g.load(); err != nil {
		tb.Fatalf("reactortest: golden: %v", err)
	}
	given := make(map[string]store.Payload)
	for _, p := range samples {
		given[p.Kind()] = p
	}
	for _, kind := range types.Kinds() {
		p := given[kind]
		if delete(given, kind); p == nil {
			p = filled(types.Zero(kind))
		}
		g.present(kind, p)
	}
	for _, kind := range slices.Sorted(maps.Keys(given)) {
		g.problemf(kind, "a sample is passed, and the kind is not among the types")
	}
	for _, s := range g.kept {
		g.former(s)
	}
	if len(g.problems) > 0 {
		tb.Fatalf("reactortest: golden: %s", strings.Join(g.problems, "\n"))
	}
}

// golden compares what types write with what is kept.
type golden struct {
	types    *reactor.Types
	dir      string
	update   bool
	kept     []sample
	problems []string
}

// sample is a payload that is kept, as it was encoded.
type sample struct {
	file    string // its name in the directory
	kind    string
	version uint16
	codec   string
	data    []byte
}

func (g *golden) problemf(kind, format string, args ...any) {
	g.problems = append(g.problems, fmt.Sprintf("%s: %s", kind, fmt.Sprintf(format, args...)))
}

// load reads the directory. There may be none yet.
func (g *golden) load() error {
	files, err := os.ReadDir(g.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, f := range files {
		s, ok := parseSample(f.Name())
		if !ok {
			return fmt.Errorf("%s is not the name of a sample", filepath.Join(g.dir, f.Name()))
		}
		if s.data, err = os.ReadFile(g.path(s)); err != nil {
			return err
		}
		s.data = s.canonical()
		g.kept = append(g.kept, s)
	}
	return err
}

func (g *golden) path(s sample) string { return filepath.Join(g.dir, s.file) }

// present checks a payload as it is written now.
func (g *golden) present(kind string, p store.Payload) {
	s, err := g.written(kind, p)
	if err != nil {
		g.problemf(kind, "a payload of it cannot be written and read: %v", err)
		return
	}
	for _, former := range g.kept {
		if former.kind == kind && former.version == s.version {
			g.compare(former, s)
			return
		}
	}
	if !g.update {
		g.problemf(kind, "no sample of version %d is kept: set %s=1 to write it", s.version, updateGolden)
		return
	}
	if err := g.write(s); err != nil {
		g.problemf(kind, "%v", err)
	}
}

// written encodes a payload, and makes sure that the same is read again.
func (g *golden) written(kind string, p store.Payload) (sample, error) {
	raw, err := encode(p)
	if err != nil {
		return sample{}, err
	}
	s := sample{kind: kind, version: max(raw.SchemaVersion, 1), codec: raw.Codec, data: raw.Data}
	s.file = s.name()
	read, err := g.types.Decode(s.event())
	if err != nil {
		return s, err
	}
	again, err := encode(read)
	if err == nil && !bytes.Equal(again.Data, raw.Data) {
		err = fmt.Errorf("what is read is not what was written:\n%s", s.against(sample{codec: again.Codec, data: again.Data}))
	}
	return s, err
}

func (g *golden) compare(kept, now sample) {
	advice := fmt.Sprintf("Logs have events of version %d: raise its SchemaVersion, with an upcaster. "+
		"If none was ever written, remove the file and set %s=1.", kept.version, updateGolden)
	switch {
	case kept.codec != now.codec:
		g.problemf(kept.kind, "version %d is written as %q, and was as %q (%s). %s",
			kept.version, now.codec, kept.codec, g.path(kept), advice)
	case !bytes.Equal(kept.data, now.canonical()):
		g.problemf(kept.kind, "version %d is not written as it was (%s):\n%s\n%s",
			kept.version, g.path(kept), kept.against(now), advice)
	}
}

// former checks that a sample can still be read.
func (g *golden) former(s sample) {
	_, err := g.types.Decode(s.event())
	var failed *reactor.DecodeError
	switch {
	case errors.Is(err, reactor.ErrUnknownKind):
		g.problemf(s.kind, "it is not among the types, and %s is kept: remove that once no log has such events", g.path(s))
	case errors.As(err, &failed) && failed.Err == nil && s.version > failed.Newest:
		g.problemf(s.kind, "the type is at version %d, and %s is of a newer one", failed.Newest, g.path(s))
	case err != nil:
		g.problemf(s.kind, "version %d cannot be read any more (%s): %v", s.version, g.path(s), err)
	}
}

func (g *golden) write(s sample) error {
	if err := os.MkdirAll(g.dir, 0o755); err != nil {
		return err
	}
	return os.WriteFile(g.path(s), s.shown(), 0o644)
}

// event is the sample as a log has it.
func (s sample) event() store.Event {
	return store.Event{Position: 1, Kind: s.kind, SchemaVersion: s.version, Codec: s.codec, Payload: s.data}
}

// shown is the sample as it is kept: JSON in lines, so that a change of it can be read.
func (s sample) shown() []byte {
	var b bytes.Buffer
	if s.codec != store.CodecJSON || json.Indent(&b, s.data, "", "  ") != nil {
		return s.data
	}
	return append(b.Bytes(), '\n')
}

// canonical is JSON without the blanks that it is shown with.
func (s sample) canonical() []byte {
	var b bytes.Buffer
	if s.codec != store.CodecJSON || json.Compact(&b, s.data) != nil {
		return s.data
	}
	return b.Bytes()
}

// against shows the difference to another sample of the same codec.
func (s sample) against(now sample) string {
	return difference(now.lines(), s.lines(), func(a, b string) bool { return a == b })
}

func (s sample) lines() []string {
	if s.codec != store.CodecJSON {
		return strings.Split(strings.TrimSpace(hex.Dump(s.data)), "\n")
	}
	return strings.Split(strings.TrimSpace(string(sample{codec: s.codec, data: s.canonical()}.shown())), "\n")
}

// name is KIND.vVERSION.CODEC.
func (s sample) name() string {
	return fmt.Sprintf("%s.v%d.%s", escaped(s.kind, "._-"), s.version, escaped(s.codec, "_-"))
}

// parseSample is the inverse of name.
func parseSample(file string) (s sample, ok bool) {
	rest, codec, named := cutLast(file, ".")
	kind, version, versioned := cutLast(rest, ".v")
	n, err := strconv.ParseUint(version, 10, 16)
	s = sample{file: file, kind: unescaped(kind), version: uint16(n), codec: unescaped(codec)}
	return s, named && versioned && err == nil && n > 0 && s.name() == file
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// escaped makes a text part of the name of a file, also where names differ by case alone for no
// file system.
func escaped(s, also string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte(also, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02x", c)
		}
	}
	return b.String()
}

func unescaped(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+3], 16, 8); err == nil {
				b.WriteByte(byte(c))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
