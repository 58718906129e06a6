package delivery

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"
)

func TestARatioIsTheMedianOfTheRatiosWithinTheRounds(t *testing.T) {
	rounds := []Round{
		{"us": {"n/s": 10}, "them": {"n/s": 1}},
		{"us": {"n/s": 12}, "them": {"n/s": 4}},
		{"us": {"n/s": 200}, "them": {"n/s": 100}}, // a machine that is ten times as fast for a while
	}
	if got := Ratio(rounds, "n/s", "us", "them"); got != 3 {
		t.Errorf("reached %v, want 3", got)
	}
	if got, _ := Figure(rounds, "us", "n/s"); got != 12 {
		t.Errorf("figure %v, want 12", got)
	}
	if _, ok := Figure(rounds, "us", "other"); ok {
		t.Error("a figure is there that was never measured")
	}
}

func TestTheOrderOfContestantsMovesOnWithTheRounds(t *testing.T) {
	var order []string
	prepared := 0
	take := func(name string) Run {
		return func(_ context.Context, turn Turn) (Result, error) {
			order = append(order, name)
			left, err := os.ReadDir(turn.Dir)
			if err != nil || len(left) > 0 {
				t.Errorf("%s begins in a directory with %v: %v", name, left, err)
			}
			return Result{}, os.WriteFile(turn.Dir+"/rest", nil, 0o600)
		}
	}
	r := Row{Contestants: []Contestant{
		{Name: "a", Run: take("a"), Prepare: func(context.Context, Turn) (Result, error) { prepared++; return Result{"of all": 7}, nil }},
		{Name: "b", Run: take("b")},
		{Name: "c", Run: take("c")},
	}}
	dir := t.TempDir()
	m, err := r.Measure(t.Context(), Options{Dir: dir, Rounds: 3, Time: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if m.Rounds[0]["a"]["of all"] != 7 || m.Rounds[2]["a"]["of all"] != 7 {
		t.Errorf("what was measured while preparing is in each round: %v", m.Rounds)
	}
	if want := []string{"a", "b", "c", "b", "c", "a", "c", "a", "b"}; !slices.Equal(order, want) {
		t.Errorf("turns %v, want %v", order, want)
	}
	if left, _ := os.ReadDir(dir); len(left) != 1 || left[0].Name() != "library" || prepared != 1 {
		t.Errorf("left %v; prepared %d times, want once", left, prepared)
	}
}

func TestAContestantThatFailsEndsTheMeasurement(t *testing.T) {
	broken := errors.New("broken")
	r := Row{Contestants: []Contestant{{Name: "a", Run: func(context.Context, Turn) (Result, error) { return nil, broken }}}}
	if _, err := r.Measure(t.Context(), Options{Dir: t.TempDir(), Rounds: 1}); !errors.Is(err, broken) {
		t.Fatal(err)
	}
}
