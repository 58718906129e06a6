package actors_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The kill loop: a real process appends, durably, with reactors running, and is killed at a random
// moment, again and again over the same directory. Each process writes to its standard output what
// it is about to append and what was acknowledged; the oracle keeps that, and compares it with the
// log in the end.
//
//	parent                          child (this binary, TestKillLoopChild)
//	  | -- brief, pending appends --> |
//	  | <-- opening, opened, up ----- |  store.Open, actors.Start
//	  | <-- intent, ack, refused ---- |  appenders; handlers that fail now and then
//	  | ---------- SIGKILL ---------> X

const (
	killRounds     = 60 // kills over one directory
	killSoakLoops  = 17 // directories with PENSTOCK_SOAK=1: more than 1000 kills
	killPeekEvery  = 10 // rounds between two looks at what a kill has left
	killPatience   = time.Minute
	killSeedEnv    = "PENSTOCK_SEED" // repeats the appends and delays of a run; what a kill hits remains chance
	killSoakEnv    = "PENSTOCK_SOAK"
	killMinSegment = 64 << 10
)

func TestKilledProcessesLoseNothingAndRepeatNothing(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv(killSeedEnv); text != "" {
		var err error
		seed, err = strconv.ParseUint(text, 10, 64)
		require.NoError(t, err)
	}
	loops := 1
	if os.Getenv(killSoakEnv) != "" {
		loops = killSoakLoops
	}
	kills := 0
	for i := range loops {
		kills += newKillLoop(t, seed+uint64(i)).run(t)
	}
	t.Logf("%d kills in all", kills)
	require.GreaterOrEqual(t, kills, 50)
}

// killLoop kills many processes over one directory.
type killLoop struct {
	dir        string
	seed       uint64
	random     *rand.Rand
	oracle     *killOracle
	lastOpen   time.Duration // how long the last process that came up took to open the store
	lastStart  time.Duration // how long to open it and start the system
	recovering int           // kills before the store was open
	starting   int           // kills while the system started
}

func newKillLoop(t *testing.T, seed uint64) *killLoop {
	t.Helper()
	return &killLoop{
		dir: filepath.Join(t.TempDir(), "log"), seed: seed, random: rand.New(rand.NewPCG(seed, 0)),
		oracle: newKillOracle(), lastOpen: time.Millisecond, lastStart: time.Millisecond,
	}
}

func (l *killLoop) run(t *testing.T) (kills int) {
	t.Helper()
	t.Logf("seed %d", l.seed)
	for round := range killRounds {
		l.round(t, round)
		if round%killPeekEvery == killPeekEvery-1 {
			l.oracle.peek(t, l.dir)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	events, reactions := l.oracle.judge(t, l.dir)
	o := l.oracle
	t.Logf("%d kills (%d in recovery, %d while the system started), %d events, %d of them reactions",
		killRounds, l.recovering, l.starting, events, reactions)
	t.Logf("%d appends, %d acknowledged (%d of them an earlier attempt), %d refused; handlers returned %d errors and panicked %d times",
		len(o.fates), o.acks, o.duplicates, o.refused, o.errors, o.panics)
	return killRounds
}

// round starts a process, kills it, and reads what it wrote.
func (l *killLoop) round(t *testing.T, round int) {
	t.Helper()
	c := startKilled(t, killBrief{
		Dir: l.dir, Seed: l.seed, Round: round, Pending: l.oracle.pending(),
		SegmentBytes: killMinSegment << l.random.IntN(3),
	})
	from, delay := c.up, 5*time.Millisecond+l.upTo(115*time.Millisecond)
	switch l.random.IntN(6) { // not all come as far
	case 0, 1:
		from, delay = c.opening, l.upTo(l.lastOpen)
	case 2:
		from, delay = c.opening, l.upTo(l.lastStart)
	}
	select {
	case <-from:
		select {
		case <-time.After(delay):
		case <-c.silent:
		}
	case <-c.silent:
		t.Errorf("round %d: the process ended on its own", round)
	case <-time.After(killPatience):
		t.Errorf("round %d: the process does not come up", round)
	}
	c.kill(t, round)
	for _, said := range c.said {
		l.oracle.hear(t, round, said)
	}
	switch {
	case c.openedAt.IsZero():
		l.recovering++
	case c.upAt.IsZero():
		l.starting++
	default:
		l.lastOpen, l.lastStart = c.openedAt.Sub(c.openingAt), c.upAt.Sub(c.openingAt)
	}
}

func (l *killLoop) upTo(d time.Duration) time.Duration {
	return time.Duration(l.random.Int64N(max(1, int64(d))))
}

// killed is a process that will be killed.
type killed struct {
	cmd     *exec.Cmd
	stdin   io.Closer
	stderr  bytes.Buffer
	opening chan struct{} // closed when it has written that
	up      chan struct{}
	silent  chan struct{} // closed at the end of its output; what follows is valid then

	said                      []killSaid
	openingAt, openedAt, upAt time.Time
	garbled                   []byte
}

func startKilled(t *testing.T, brief killBrief) *killed {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	c := &killed{
		cmd:     exec.Command(self, "-test.run=^TestKillLoopChild$"),
		opening: make(chan struct{}), up: make(chan struct{}), silent: make(chan struct{}),
	}
	c.cmd.Env = append(os.Environ(), killChildEnv+"=1")
	c.cmd.Stderr = &c.stderr
	stdin, err := c.cmd.StdinPipe()
	require.NoError(t, err)
	stdout, err := c.cmd.StdoutPipe()
	require.NoError(t, err)
	line, err := json.Marshal(brief)
	require.NoError(t, err)
	require.NoError(t, c.cmd.Start())
	go c.listen(stdout)
	_, err = stdin.Write(append(line, '\n'))
	require.NoError(t, err)
	c.stdin = stdin
	return c
}

// listen reads whole lines. One that the kill has cut does not count.
func (c *killed) listen(stdout io.Reader) {
	defer close(c.silent)
	lines := bufio.NewReader(stdout)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var said killSaid
		if json.Unmarshal(line, &said) != nil {
			c.garbled = append(c.garbled, line...)
			continue
		}
		c.said = append(c.said, said)
		if said.Say == killOpening {
			c.openingAt = time.Now()
			close(c.opening)
		}
		if said.Say == killOpened {
			c.openedAt = time.Now()
		}
		if said.Say == killUp {
			c.upAt = time.Now()
			close(c.up)
		}
	}
}

// kill ends the process with SIGKILL, and requires that until then it lived and reported no error.
func (c *killed) kill(t *testing.T, round int) {
	t.Helper()
	select {
	case <-c.silent:
		t.Errorf("round %d: the process ended before it was killed", round)
	default:
	}
	_ = c.cmd.Process.Kill()
	<-c.silent
	_ = c.cmd.Wait()
	_ = c.stdin.Close()
	if c.stderr.Len() > 0 || len(c.garbled) > 0 {
		t.Errorf("round %d: the process complains: %s%s", round, &c.stderr, c.garbled)
	}
}
