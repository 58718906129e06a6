package drive

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Every order in which things may happen to small trees that run, breadth first: with one trouble
// all of them, with two the first states, and more with PENSTOCK_SOAK=1. Each state that is
// reached must be one from which everything comes to rest, every worker that halted can be
// resumed, and the tree can be stopped.
func TestWhateverHappensInWhicheverOrderATreeComesToRestAndEachOfItsWorkersCanBeResumed(t *testing.T) {
	shapes := []string{
		"t?(a b c)", "t?(A g?(B c))", "t?(G?(a B) C)", "t?(m(G?(A)) b)", "t?(g!?(A b) c)",
	}
	exploreAll(t, running, 1, 1<<30, shapes...)
	if os.Getenv("PENSTOCK_SOAK") == "" {
		exploreAll(t, running, 2, 200, shapes...)
		return
	}
	exploreAll(t, running, 2, 1<<30, shapes...)
	exploreAll(t, running, 3, 20_000, append(shapes, "t?(m?(G?(A b)) c)", "t?(a G?(B) g?(C))")...)
}

func TestWhateverHappensWhileATreeStartsTheStartIsAnsweredOnceAndTheTreeCanBeStopped(t *testing.T) {
	exploreAll(t, newWorld, 1, 1<<30, "t?(a g(b c))")
}

func exploreAll(t *testing.T, begin func(testing.TB, string) *world, troubles, limit int, shapes ...string) {
	t.Helper()
	seen, cut := 0, 0
	for _, shape := range shapes {
		eachStrategy(shape, func(text string) {
			n, complete := explore(t, text, begin, troubles, limit)
			seen += n
			if !complete {
				cut++
			}
		})
	}
	t.Logf("with %d troubles: %d states, %d trees not to the end", troubles, seen, cut)
}

// eachStrategy replaces each "?" by each of the strategies.
func eachStrategy(text string, visit func(string)) {
	if !strings.Contains(text, "?") {
		visit(text)
		return
	}
	for _, strategy := range []string{"", "*", ">"} {
		eachStrategy(strings.Replace(text, "?", strategy, 1), visit)
	}
}

// explore reaches states breadth first. What was judged before decides too, so a state is known
// by its troubles as well.
func explore(
	t *testing.T, text string, begin func(testing.TB, string) *world, troubles, limit int,
) (states int, complete bool) {
	t.Helper()
	known := make(map[string]bool)
	paths := [][]event{nil}
	for len(paths) > 0 {
		if len(known) > limit {
			return len(known), false
		}
		path := paths[0]
		paths = paths[1:]
		w := replay(t, text, begin, path)
		left := troubles
		for _, e := range path {
			if e.trouble() {
				left--
			}
		}
		for _, e := range w.possible() {
			if e.trouble() && left == 0 {
				continue
			}
			next := append(slices.Clip(path), e)
			w := replay(t, text, begin, next)
			key := fmt.Sprint(w, troublesOf(next))
			if known[key] {
				continue
			}
			known[key] = true
			paths = append(paths, next)
			w.requireRest()
		}
	}
	return len(known), true
}

func troublesOf(path []event) (list []event) {
	for _, e := range path {
		if e.trouble() {
			list = append(list, e)
		}
	}
	return list
}

// replay lets a sequence of events happen.
func replay(t *testing.T, text string, begin func(testing.TB, string) *world, path []event) *world {
	t.Helper()
	told := &telling{TB: t, text: text}
	w := begin(told, text)
	for _, e := range path {
		told.path = append(told.path, e)
		w.happen(e)
	}
	return w
}

// telling says what happened before a test failed.
type telling struct {
	testing.TB
	text string
	path []event
}

func (l *telling) Fatalf(format string, args ...any) {
	l.Helper()
	l.TB.Fatalf("%s after %v: %s", l.text, l.path, fmt.Sprintf(format, args...))
}

// Random trees of up to 200 leaves, in which everything happens at random, in virtual time.
func TestARandomTreeWithAllKindsOfTroubleComesToRestAndEachOfItsWorkersCanBeResumed(t *testing.T) {
	seed, n := uint64(time.Now().UnixNano()), 2000
	if os.Getenv("PENSTOCK_SOAK") != "" {
		n = 50_000
	}
	if given := os.Getenv("PENSTOCK_SEED"); given != "" {
		n = 1
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	t.Logf("PENSTOCK_SEED=%d and following, %d trees", seed, n)
	happened := make(map[eventKind]int)
	for i := range n {
		random := rand.New(rand.NewPCG(seed+uint64(i), 3))
		text := randomTree(random, 1)
		told := &telling{TB: t, text: fmt.Sprintf("PENSTOCK_SEED=%d: %s", seed+uint64(i), text)}
		w := newWorld(told, text)
		for range 40 + random.IntN(400) {
			e, ok := pick(random, w)
			if !ok {
				break
			}
			happened[e.kind]++
			told.path = append(told.path, e)
			w.happen(e)
		}
		w.requireRest()
	}
	t.Log(happened)
}

// pick chooses what happens next: trouble is rare, and the stop rarer.
func pick(random *rand.Rand, w *world) (event, bool) {
	list := w.possible()
	for range 200 * min(1, len(list)) {
		e := list[random.IntN(len(list))]
		if e.kind == begins || e.kind == timePasses || !e.trouble() ||
			e.kind == stops && random.IntN(50) == 0 || e.kind != stops && w.started > 0 && random.IntN(3) == 0 {
			return e, true
		}
	}
	return event{}, false
}

func randomTree(random *rand.Rand, depth int) string {
	var children []string
	for range 1 + random.IntN(4) {
		if depth < 4 && random.IntN(3) == 0 {
			children = append(children, randomTree(random, depth+1))
		} else {
			children = append(children, []string{"a", "A"}[random.IntN(2)])
		}
	}
	group := []string{"g", "G", "g!"}[random.IntN(3)] + []string{"", "*", ">"}[random.IntN(3)]
	return group + "(" + strings.Join(children, " ") + ")"
}
