package actors

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/cursor/drive"
)

// What an incarnation that is about to be replaced still does, or the tree says of one that is
// over, changes nothing of what is shown: neither the state, nor what belongs to it.
func TestAStateThatMayNotComeLeavesAllOfThePresentOne(t *testing.T) {
	late := errors.New("too late")
	deeds := map[string]func(*published, State){
		"show": func(c *published, s State) {
			c.show(drive.Effect{State: s, Err: late, Attempt: 9, Stack: []byte("late")})
		},
		"set":     func(c *published, s State) { c.set(s, late) },
		"failing": func(c *published, s State) { c.wait(s, late, 9) },
		"moved":   func(c *published, s State) { c.moved(s, 0, false) },
	}
	refused := 0
	for from := Starting; from <= Stopped; from++ {
		for to := Starting; to <= Stopped; to++ {
			if from.MayBecome(to) {
				continue
			}
			refused++
			for name, deed := range deeds {
				c := &published{of: &drive.Node{Worker: &cursor.Worker{Name: "w"}}}
				c.watched(nil, func() time.Time { return time.Time{} })
				c.state, c.reason, c.attempt = from, errors.New("in time"), 2
				want, _ := c.status()
				deed(c, to)
				got, _ := c.status()
				require.Equal(t, want, got, "%s: %v to %v", name, from, to)
			}
		}
	}
	require.Positive(t, refused)
}
