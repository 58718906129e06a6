package supervision_test

import (
	"errors"
	"fmt"
	"time"

	"github.com/penstock-io/penstock/supervision"
)

// index is a worker: anything that yields a Spec can be supervised.
type index struct{ shard int }

func (i index) Spec() supervision.Spec {
	return supervision.Spec{Name: fmt.Sprintf("index-%d", i.shard)}
}

func ExampleGroup() {
	tree := supervision.Group{
		Name:   "shop",
		Policy: supervision.Policy{Attempts: 3}, // for every child that has no policy of its own
		Children: []supervision.Child{
			index{shard: 1},
			index{shard: 2},
			supervision.Group{Name: "reports", Children: []supervision.Child{index{shard: 1}}},
		},
	}
	fmt.Println(tree.Validate())

	tree.Children = append(tree.Children, index{shard: 2})
	fmt.Println(tree.Validate())

	// Output:
	// <nil>
	// "shop": supervision: duplicate name: "index-2"
}

func ExampleJudge() {
	judge := supervision.NewJudge(supervision.Spec{Policy: supervision.Policy{
		Attempts: 3,
		Backoff:  supervision.Backoff{Initial: time.Second},
	}}, nil) // rand.Float64 in a program: here without jitter

	failure := supervision.Failure{Event: 42, Err: errors.New("warehouse does not answer")}
	for at := time.Unix(0, 0); ; {
		v := judge.Failed(at, failure)
		fmt.Println(v.Action, v.Delay, "-", v.Reason)
		if v.Action == supervision.ActionPark {
			break
		}
		at = at.Add(v.Delay)
	}

	// Output:
	// retry 1s - event 42, attempt 1 of 3: warehouse does not answer
	// retry 2s - event 42, attempt 2 of 3: warehouse does not answer
	// park 0s - event 42, attempts used up (3), last error: warehouse does not answer
}

func ExampleRetryAfter() {
	judge := supervision.NewJudge(supervision.Spec{}, nil)

	err := fmt.Errorf("reserve: %w", supervision.RetryAfter(time.Minute, errors.New("too many requests")))
	v := judge.Failed(time.Unix(0, 0), supervision.Failure{Event: 7, Err: err})
	fmt.Println(v.Action, v.Delay)

	// Output:
	// retry 1m0s
}
