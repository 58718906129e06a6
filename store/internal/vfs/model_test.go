package vfs

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// contentModel says for each byte of one file which values a power cut may leave.
type contentModel struct {
	visible, durable []byte
	values           [][256]bool // beyond the durable one, by offset
	shortest         int         // sizes a power cut may leave
	longest          int
}

const modelSize = 4096

func newContentModel() *contentModel {
	m := &contentModel{}
	m.sync()
	return m
}

func (m *contentModel) sync() {
	m.durable = slices.Clone(m.visible)
	m.values = make([][256]bool, modelSize)
	for off := len(m.durable); off < modelSize; off++ {
		m.values[off][0] = true
	}
	m.shortest, m.longest = len(m.durable), len(m.durable)
}

func (m *contentModel) write(off int, data []byte) {
	if grow := off + len(data) - len(m.visible); grow > 0 {
		m.visible = append(m.visible, make([]byte, grow)...)
	}
	copy(m.visible[off:], data)
	for i, b := range data {
		m.values[off+i][b] = true
	}
	m.longest = max(m.longest, off+len(data))
}

func (m *contentModel) truncate(size int) {
	for off := size; off < modelSize; off++ {
		m.values[off][0] = true
	}
	m.visible = append(slices.Clone(m.visible[:min(size, len(m.visible))]), make([]byte, max(0, size-len(m.visible)))...)
	m.shortest, m.longest = min(m.shortest, size), max(m.longest, size)
}

// flush counts as one more write of what is visible.
func (m *contentModel) flush(from, to int) {
	if to = min(to, len(m.visible)); from < to {
		m.write(from, m.visible[from:to])
	}
}

func (m *contentModel) check(t *rapid.T, mem *Memory, seed uint64) {
	got := mem.Image(seed).Bytes("data/a")
	require.GreaterOrEqual(t, len(got), m.shortest)
	require.LessOrEqual(t, len(got), m.longest)
	for off, b := range got {
		durable := off < len(m.durable) && m.durable[off] == b
		if !durable && !m.values[off][b] {
			t.Fatalf("seed %d: byte %d is %d, which was never written there\n%v", seed, off, b, mem.Trace())
		}
	}
}

func TestSyncedContentSurvivesAndNothingAppearsThatWasNotWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem, f := newFile(t, nil)
		model := newContentModel()
		steps := rapid.IntRange(1, 25).Draw(t, "steps")
		mem.CutAt(mem.Ops() + rapid.IntRange(1, 30).Draw(t, "cut"))
		for step := 1; step <= steps; step++ {
			err := contentStep(t, f, model, byte(step))
			if errors.Is(err, ErrPowerCut) {
				break
			}
			require.NoError(t, err)
			require.Equal(t, len(model.visible), len(getFile(t, mem, "data/a")))
			require.Equal(t, string(model.visible), string(getFile(t, mem, "data/a")))
		}
		require.Equal(t, string(model.durable), string(mem.Image(KeepNothing).Bytes("data/a")))
		require.Equal(t, string(model.visible), string(mem.Image(KeepAll).Bytes("data/a")))
		first := rapid.Uint64Range(0, 1<<32).Draw(t, "seed")
		for seed := first; seed < first+10; seed++ {
			model.check(t, mem, seed)
		}
	})
}

// contentStep does one random thing to the file and, unless it was a sync that the
// power cut interrupted, to the model.
func contentStep(t *rapid.T, f File, model *contentModel, mark byte) error {
	switch rapid.SampledFrom([]string{"write", "write", "write", "truncate", "flush", "sync"}).Draw(t, "op") {
	case "write":
		off := rapid.IntRange(0, modelSize/2).Draw(t, "off")
		data := fill(mark, rapid.IntRange(1, modelSize/2).Draw(t, "len"))
		model.write(off, data)
		_, err := f.WriteAt(data, int64(off))
		return err
	case "truncate":
		size := rapid.IntRange(0, modelSize).Draw(t, "size")
		model.truncate(size)
		return f.Truncate(int64(size))
	case "flush":
		from, to := rapid.IntRange(0, modelSize).Draw(t, "from"), rapid.IntRange(0, modelSize).Draw(t, "to")
		model.flush(from, to)
		f.(Flusher).Flush(int64(from), int64(to))
		_, err := f.Size()
		return err // of the power cut, which Flush does not report
	}
	err := f.Sync()
	if err == nil {
		model.sync()
	}
	return err
}

// namesModel holds every state of one directory since its last SyncDir, oldest
// first: name to the mark that is the file's content.
type namesModel struct{ states []map[string]string }

func (m *namesModel) now() map[string]string { return m.states[len(m.states)-1] }

func (m *namesModel) step(change func(names map[string]string)) {
	next := maps.Clone(m.now())
	change(next)
	m.states = append(m.states, next)
}

func readNames(t require.TestingT, mem *Memory) map[string]string {
	names := map[string]string{}
	for _, name := range namesIn(t, mem, "data") {
		names[name] = string(mem.Bytes("data/" + name))
	}
	return names
}

func TestTheNamespaceStaysConsistentOverAPowerCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		mem := newMemory(t)
		model := &namesModel{states: []map[string]string{{}}}
		steps := rapid.IntRange(1, 30).Draw(t, "steps")
		mem.CutAt(mem.Ops() + rapid.IntRange(1, 60).Draw(t, "cut"))
		for step := range steps {
			err := namesStep(t, mem, model, fmt.Sprint(step))
			if errors.Is(err, ErrPowerCut) {
				break
			}
			require.NoError(t, err)
			require.Equal(t, model.now(), readNames(t, mem))
		}
		require.Equal(t, model.states[0], readNames(t, mem.Image(KeepNothing)))
		require.Equal(t, model.now(), readNames(t, mem.Image(KeepAll)))
		first := rapid.Uint64Range(0, 1<<32).Draw(t, "seed")
		for seed := first; seed < first+30; seed++ {
			model.check(t, mem, seed)
		}
	})
}

func (m *namesModel) check(t *rapid.T, mem *Memory, seed uint64) {
	names := readNames(t, mem.Image(seed))
	at := map[string]string{}
	for name, mark := range names {
		if other, twice := at[mark]; twice {
			t.Fatalf("seed %d: file %s has the names %s and %s\n%v", seed, mark, name, other, mem.Trace())
		}
		at[mark] = name
		if !slices.ContainsFunc(m.states, func(s map[string]string) bool { return s[name] == mark }) {
			t.Fatalf("seed %d: %s never named %s\n%v", seed, name, mark, mem.Trace())
		}
	}
	for _, mark := range m.states[0] {
		always := !slices.ContainsFunc(m.states, func(s map[string]string) bool {
			return !slices.Contains(slices.Collect(maps.Values(s)), mark)
		})
		if _, ok := at[mark]; always && !ok {
			t.Fatalf("seed %d: %s was never removed and is gone\n%v", seed, mark, mem.Trace())
		}
	}
}

// namesStep does one random thing to the directory, and the same to the model.
func namesStep(t *rapid.T, mem *Memory, model *namesModel, mark string) error {
	name := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "name")
	to := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "to")
	old, exists := model.now()[name]
	switch op := rapid.SampledFrom([]string{"create", "rename", "remove", "syncdir"}).Draw(t, "op"); {
	case op == "syncdir":
		err := mem.SyncDir("data")
		if err == nil {
			model.states = model.states[len(model.states)-1:]
		}
		return err
	case op == "create" && !exists:
		return createMarked(mem, model, name, mark)
	case op == "rename" && exists && name != to:
		model.step(func(names map[string]string) { delete(names, name); names[to] = old })
		return mem.Rename("data/"+name, "data/"+to)
	case op == "remove" && exists:
		model.step(func(names map[string]string) { delete(names, name) })
		return mem.Remove("data/" + name)
	}
	return nil
}

// createMarked returns the file its mark as durable content without an operation, so
// that every file in an image tells which one it is, one created in flight too.
func createMarked(mem *Memory, model *namesModel, name, mark string) error {
	model.step(func(names map[string]string) { names[name] = mark })
	_, err := mem.Create("data/" + name)
	n := mem.dirs["data"].names[name]
	n.visible, n.durable = []byte(mark), []byte(mark)
	return err
}
