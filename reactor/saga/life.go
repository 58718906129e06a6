package saga

import (
	"fmt"
	"slices"
)

// Life is how far an instance has come.
//
//	            alive   moved by inputs   moved by operators
//	Running      yes          yes                yes
//	Compensating yes     outcomes of undos       yes
//	Stuck        yes          no                 yes
//	Suspended    yes          no                 yes
//	Completed     no          no                 no
//	Compensated   no          no                 no
//	Failed        no          no                 no
type Life uint8

const (
	// None is the life of what has not started, or was purged.
	None Life = iota
	// Running is an instance that goes forward, or waits for an input.
	Running
	// Compensating is one that waits for what is in flight, and then undoes what was done.
	Compensating
	// Stuck is one whose undo has failed for good, or a step from which there is no way back, or that
	// asks ([Action.Ask]). It waits for an operator. In an outage nothing fails for good: see [Do].
	Stuck
	// Suspended is one that an operator has stopped. Its inputs are held until it is resumed.
	Suspended
	// Completed has ended as it should.
	Completed
	// Compensated has ended, with everything undone that was done.
	Compensated
	// Failed has ended otherwise: with nothing to undo, or with something that was not undone.
	Failed
)

//nolint:gochecknoglobals // a table
var lives = []string{"none", "running", "compensating", "stuck", "suspended", "completed", "compensated", "failed"}

// String is the name in lower case.
func (l Life) String() string {
	if int(l) < len(lives) {
		return lives[l]
	}
	return fmt.Sprintf("life %d", uint8(l))
}

// MarshalText writes the name.
func (l Life) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads the name.
func (l *Life) UnmarshalText(text []byte) error {
	i := slices.Index(lives, string(text))
	if i < 0 {
		return fmt.Errorf("saga: unknown life %q", text)
	}
	*l = Life(i)
	return nil
}

// Ended reports whether the instance has ended.
func (l Life) Ended() bool { return l >= Completed }

// alive reports whether it has started and not ended.
func (l Life) alive() bool { return l != None && !l.Ended() }
