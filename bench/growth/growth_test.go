package growth

import (
	"path/filepath"
	"testing"
	"time"
)

func TestAllOfALogIsMeasured(t *testing.T) {
	l := Log{Dir: filepath.Join(t.TempDir(), "log"), Events: 3000, Entities: 1000, Samples: 20}
	f, err := l.Fill(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if min(f.FirstTenth, f.LastTenth, f.Heap, float64(f.Disk), float64(f.LongestCommit), float64(f.AfterKill)) <= 0 {
		t.Errorf("missing in %+v", f)
	}
	for _, tag := range []string{"once", "twice"} {
		a, err := l.Ask(t.Context(), tag)
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Samples) != Effects+1 || min(a.Opening, a.First) <= 0 {
			t.Errorf("missing in %+v", a)
		}
	}
}

func TestAllOfSagasIsMeasured(t *testing.T) {
	f, err := Sagas{Dir: t.TempDir(), Instances: 200, Samples: 5}.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for what, d := range map[string]time.Duration{
		"filling": f.Filling, "opening": f.OpenClean, "after a kill": f.OpenKilled, "ready": f.Ready, "few": f.Few.Median,
		"many": f.Many.Median, "stuck": f.Stuck.List.Median, "all": f.All.List.Median, "commit": f.All.Commit, "late": f.Late.Median, "overdue": f.Overdue.Took,
	} {
		if d <= 0 {
			t.Errorf("%s is missing in %+v", what, f)
		}
	}
	if f.Disk <= 0 || f.Heap <= 0 || len(f.Overdue.Idle) != 5 {
		t.Errorf("missing in %+v", f)
	}
}

func TestAllOfSideValuesIsMeasured(t *testing.T) {
	f, err := Sides{Dir: t.TempDir(), Values: 2500, Samples: 20}.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if min(f.OpenClean, f.OpenKilled, f.Look.Median, f.Unmatched.List.Median, f.All.Commit) <= 0 {
		t.Errorf("missing in %+v", f)
	}
	if f.Heap < 10 || f.LargeHeap > 20<<20 || f.SmallSegments.Segments < 2 {
		t.Errorf("unlikely: %+v", f)
	}
}
