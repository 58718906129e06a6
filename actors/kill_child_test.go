package actors_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/supervision"
)

// killChildEnv makes TestKillLoopChild the process that is killed.
const killChildEnv = "PENSTOCK_KILL_CHILD"

// killScope is the scope of all events of the kill loop.
const killScope = "kill"

// killBrief is the first line that the parent writes to a child. The pipe stays open: a child reads
// its end when the parent has ended, and exits.
type killBrief struct {
	Dir          string
	Seed         uint64
	Round        int
	SegmentBytes int64
	Pending      []killOp // of earlier rounds, with a key and without an answer
}

// killSaid is a line that a child writes, in one system call: no line before the kill is lost.
type killSaid struct {
	Say  killWord
	Op   *killOp          `json:",omitempty"`
	Got  []store.Recorded `json:",omitempty"` // of an ack
	Dup  bool             `json:",omitempty"` // the ack is that of an earlier attempt
	Text string           `json:",omitempty"`
}

type killWord string

const (
	killOpening killWord = "opening" // about to open the store
	killOpened  killWord = "opened"  // the store is open, the system starts
	killUp      killWord = "up"      // the system runs
	killIntent  killWord = "intent"  // about to append Op
	killAck     killWord = "ack"     // Op was acknowledged
	killRefused killWord = "refused" // Op lost a race of expectations: it must not be there
	killError   killWord = "error"   // a handler returns an error
	killPanic   killWord = "panic"   // a handler panics
	killFatal   killWord = "fatal"   // something that must not happen
)

// killOp is one append, from which its batch can be made again.
type killOp struct {
	Name     string
	Keyed    bool
	Kind     string
	Entities []string // one event for each
	Expect   bool     // the first event expects Version
	Version  uint64
	Pad      int
}

// killInput is the payload of an appended event.
type killInput struct {
	Op  string
	I   int
	Pad string
}

func (o *killOp) payload(i int) store.Raw {
	data, err := json.Marshal(killInput{Op: o.Name, I: i, Pad: strings.Repeat("x", o.Pad)})
	if err != nil {
		panic(err)
	}
	return store.Raw{Type: o.Kind, Data: data}
}

func (o *killOp) batch() store.Batch {
	var b store.Batch
	if o.Keyed {
		b.IdempotencyKey = o.Name
	}
	for i, entity := range o.Entities {
		b.Events = append(b.Events, store.Proposal{At: store.At(entity, killScope), Payload: o.payload(i)})
	}
	if o.Expect {
		b.Events[0].Expect = store.Exactly(o.Version)
	}
	return b
}

// The kinds that reactors have routes for.
type (
	killSingle     struct{ killInput }
	killBatch      struct{ killInput }
	killLedger     struct{ killInput }
	killFromSingle struct{ Cause store.Position }
	killFromBatch  struct{ Cause store.Position }
)

func (killSingle) Kind() string     { return "in.single" }
func (killBatch) Kind() string      { return "in.batch" }
func (killLedger) Kind() string     { return "in.ledger" }
func (killFromSingle) Kind() string { return "out.single" }
func (killFromBatch) Kind() string  { return "out.batch" }

// killReads says what each worker handles.
func killReads() map[string]store.Region {
	return map[string]store.Region{
		"single": {Kinds: []string{"in.single"}},
		"batch":  {Kinds: []string{"in.batch"}},
		"ledger": {Kinds: []string{"in.ledger"}},
		"chain":  {Kinds: []string{"out.single", "out.batch"}},
		"narrow": {Entity: "in:3", Scope: killScope},
		"quiet":  {Entity: "ledger:1", Scope: killScope},
	}
}

// killReactions are the reactions of a worker to an event: a pure function, for the handlers and
// for the oracle.
func killReactions(worker string, e store.Event) (out []store.Proposal) {
	n := 1
	switch worker {
	case "batch": // across entities
		n = 1 + int(e.Position%3)
	case "narrow": // some of its batches are checkpoints and nothing else
		n = int(e.Version % 2)
	case "quiet": // all are
		n = 0
	}
	for i := range n {
		out = append(out, store.Proposal{
			At:        store.At(fmt.Sprintf("%s:%d", worker, (int(e.Position)+i)%7), killScope),
			Payload:   store.Raw{Type: "out." + worker, Data: fmt.Appendf(nil, `{"Cause":%d,"I":%d}`, e.Position, i)},
			Causation: e.Causation(),
		})
	}
	return out
}

// killTrouble makes handlers fail at events chosen by their position: mostly at the first attempt
// of a process, once the reactions are staged.
type killTrouble struct {
	say   func(killSaid)
	mu    sync.Mutex
	tried map[string]int
}

func (k *killTrouble) strike(worker string, p store.Position, replayed bool) error {
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, worker, p)
	at := fmt.Sprintf("%s at %d", worker, p)
	k.mu.Lock()
	k.tried[at]++
	attempt := k.tried[at]
	k.mu.Unlock()
	switch sum := h.Sum32(); {
	case sum%37 == 0 && attempt <= 2:
		k.say(killSaid{Say: killError, Text: at})
		return fmt.Errorf("error on purpose: %s", at)
	case sum%211 == 2 && attempt == 1 && !replayed && killParks(worker):
		k.say(killSaid{Say: killError, Text: at})
		return supervision.Park(fmt.Errorf("parked on purpose: %s", at))
	case sum%61 == 1 && attempt == 1:
		k.say(killSaid{Say: killPanic, Text: at})
		panic("panic on purpose: " + at)
	}
	return nil
}

func killRoute[T store.Payload](k *killTrouble, worker string) reactor.Route {
	return reactor.On(func(_ context.Context, e reactor.Event[T], out *reactor.Reactions) error {
		for _, p := range killReactions(worker, e.Event) {
			out.Propose(p)
		}
		return k.strike(worker, e.Position, e.Replayed())
	})
}

// killWorker handles batches and does not name the event at which it fails.
func killWorker(k *killTrouble, name string) cursor.Worker {
	return cursor.Worker{
		Name:   name,
		Region: killReads()[name],
		Handle: func(_ context.Context, b *cursor.Batch) (cursor.Action, error) {
			for i, e := range b.Events {
				for _, p := range killReactions(name, e) {
					b.Propose(i, p)
				}
				if err := k.strike(name, e.Position, b.Replayed(i)); err != nil {
					return cursor.Continue, err
				}
			}
			return cursor.Continue, nil
		},
	}
}

// killParks reports whether events of a worker are parked: not those of the long chain, which has
// so few keys that all of it would soon be held, nor those of workers that do not name the event at
// which they fail.
func killParks(worker string) bool {
	return worker == "single" || worker == "batch" || worker == "ledger"
}

func killLanes(n int, r *reactor.Reactor) *reactor.Reactor {
	r.Lanes, r.BatchSize = n, 16
	return r
}

// killReplay replays everything that a worker has parked. A worker that is being stopped refuses.
func killReplay(ctx context.Context, sys *actors.System, worker string) {
	_, _ = sys.Replay(ctx, worker, cursor.ParkedFilter{All: true}, checkpoint.Request{})
}

// trouble replays what is parked and rewinds, each time the log has grown a little.
func (c *killChild) trouble() {
	ctx := context.Background()
	for head := c.store.Head(); ; {
		next, err := c.store.Wait(ctx, head+100)
		if err != nil {
			return
		}
		head = next
		for _, worker := range []string{"single", "batch", "ledger", "chain"} {
			if err := apply(ctx, c.sys, worker, checkpoint.Rewind{To: head / 2}); err != nil &&
				!errors.Is(err, checkpoint.ErrNotBackwards) {
				c.fatal(err)
			}
			killReplay(ctx, c.sys, worker)
		}
	}
}

// killTree is the tree that every process of the loop runs. Restarts are quick and as good as
// unlimited.
func killTree(say func(killSaid)) supervision.Group {
	k := &killTrouble{say: say, tried: make(map[string]int)}
	return supervision.Group{
		Name: "kill",
		Policy: supervision.Policy{
			Intensity: 1000,
			Period:    time.Second,
			Backoff:   supervision.Backoff{Initial: time.Millisecond, Max: 4 * time.Millisecond},
		},
		Children: []supervision.Child{
			reactor.New("single", killRoute[killSingle](k, "single")),
			killLanes(4, reactor.New("batch", killRoute[killBatch](k, "batch"))),
			supervision.Group{Name: "nested", Children: []supervision.Child{
				reactor.New("ledger", killRoute[killLedger](k, "ledger")),
				killLanes(3, reactor.New("chain", killRoute[killFromSingle](k, "chain"), killRoute[killFromBatch](k, "chain"))),
				supervision.Group{Name: "deep", Children: []supervision.Child{
					killWorker(k, "narrow"), killWorker(k, "quiet"),
				}},
			}},
		},
	}
}

// TestKillLoopChild is the process that TestKilledProcessesLoseNothingAndRepeatNothing kills. In
// any other run it does nothing.
func TestKillLoopChild(*testing.T) {
	if os.Getenv(killChildEnv) == "" {
		return
	}
	in := bufio.NewReader(os.Stdin)
	line, err := in.ReadBytes('\n')
	c := &killChild{}
	if err != nil || json.Unmarshal(line, &c.brief) != nil {
		c.fatal(fmt.Errorf("no brief: %w", err))
	}
	go c.run()
	_, _ = io.Copy(io.Discard, in) // until the parent has ended
	os.Exit(1)
}

// killChild works until it is killed.
type killChild struct {
	brief killBrief
	out   sync.Mutex
	store *store.Store
	sys   *actors.System
}

func (c *killChild) say(s killSaid) {
	line, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	c.out.Lock()
	defer c.out.Unlock()
	_, _ = os.Stdout.Write(append(line, '\n'))
}

func (c *killChild) fatal(err error) { c.say(killSaid{Say: killFatal, Text: err.Error()}) }

// Write receives the log of the system, which contains only errors.
func (c *killChild) Write(entry []byte) (int, error) {
	expected := bytes.Contains(entry, []byte("event parked")) || bytes.Contains(entry, []byte("outage begins"))
	if expected && bytes.Contains(entry, []byte("on purpose")) {
		return len(entry), nil
	}
	c.fatal(fmt.Errorf("logged: %s", entry))
	return len(entry), nil
}

func (c *killChild) logger() *zap.Logger {
	encoder := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	return zap.New(zapcore.NewCore(encoder, zapcore.AddSync(c), zapcore.ErrorLevel))
}

func (c *killChild) run() {
	var err error
	c.say(killSaid{Say: killOpening})
	if c.store, err = store.Open(c.brief.Dir, store.Options{SegmentBytes: c.brief.SegmentBytes}); err != nil {
		c.fatal(err)
		return
	}
	c.say(killSaid{Say: killOpened})
	c.sys, err = actors.Start(context.Background(), c.store, actors.Options{Logger: c.logger()}, killTree(c.say))
	if err != nil {
		c.fatal(err)
		return
	}
	c.say(killSaid{Say: killUp})
	go c.trouble()
	for _, op := range c.brief.Pending {
		go c.append(op)
	}
	makers := []func(*rand.Rand) killOp{killMakeSingle, killMakeSingle, killMakeBare, killMakeBatch, killMakeBatch}
	for i, maker := range makers {
		go c.appendAll(i, maker)
	}
	for i := range 2 {
		go c.appendExpecting(len(makers) + i)
	}
}

func killMakeSingle(r *rand.Rand) killOp {
	return killOp{Keyed: true, Kind: "in.single", Entities: []string{killEntity(r)}, Pad: killPad(r)}
}

// killMakeBare makes an append without a key, which cannot be retried.
func killMakeBare(r *rand.Rand) killOp {
	return killOp{Kind: "in.single", Entities: []string{killEntity(r)}, Pad: killPad(r)}
}

func killMakeBatch(r *rand.Rand) killOp {
	entities := make([]string, 2+r.IntN(6))
	for i := range entities {
		entities[i] = killEntity(r)
	}
	return killOp{Keyed: true, Kind: "in.batch", Entities: entities, Pad: killPad(r)}
}

func killEntity(r *rand.Rand) string { return fmt.Sprintf("in:%d", r.IntN(8)) }

// killPad makes most events small, and some so large that they fill a part of a segment.
func killPad(r *rand.Rand) int {
	if r.IntN(30) == 0 {
		return 4<<10 + r.IntN(4<<10)
	}
	return r.IntN(300)
}

// shift returns the random source of an appender and the number of its appends: few enough that
// some kills find an idle system.
func (c *killChild) shift(appender int) (*rand.Rand, int) {
	r := rand.New(rand.NewPCG(c.brief.Seed, uint64(c.brief.Round)<<8|uint64(appender)))
	return r, 5 + r.IntN(80)
}

func (c *killChild) appendAll(appender int, maker func(*rand.Rand) killOp) {
	r, shift := c.shift(appender)
	var last store.Receipt
	for n := range shift {
		op := maker(r)
		op.Name = fmt.Sprintf("%d.%d.%d", c.brief.Round, appender, n)
		last, _ = c.append(op)
	}
	c.awaitAll(last)
}

// awaitAll finds workers that were halted.
func (c *killChild) awaitAll(last store.Receipt) {
	for worker := range killReads() {
		if err := c.sys.WaitApplied(context.Background(), worker, last); err != nil && !errors.Is(err, actors.ErrParked) {
			c.fatal(err)
		}
	}
}

// appendExpecting races with other calls of itself for versions of the same entities.
func (c *killChild) appendExpecting(appender int) {
	r, shift := c.shift(appender)
	versions := make([]uint64, 3)
	for n := range shift {
		i := r.IntN(len(versions))
		receipt, actual := c.append(killOp{
			Name: fmt.Sprintf("%d.%d.%d", c.brief.Round, appender, n), Keyed: true, Kind: "in.ledger",
			Entities: slices.Repeat([]string{fmt.Sprintf("ledger:%d", i)}, 1+r.IntN(2)),
			Expect:   true, Version: versions[i], Pad: r.IntN(100),
		})
		if versions[i] = actual; len(receipt.Events) > 0 {
			versions[i] = receipt.Events[len(receipt.Events)-1].Version
		}
	}
}

// append announces an append, makes it, and writes the result: a receipt, or the version that was
// found in place of the expected one.
func (c *killChild) append(op killOp) (store.Receipt, uint64) {
	c.say(killSaid{Say: killIntent, Op: &op})
	receipt, err := c.store.Commit(context.Background(), op.batch())
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		c.say(killSaid{Say: killRefused, Op: &op})
		return receipt, conflict.Actual
	case err != nil:
		c.fatal(err)
	default:
		c.say(killSaid{Say: killAck, Op: &op, Got: receipt.Events, Dup: receipt.Duplicate})
	}
	return receipt, 0
}
