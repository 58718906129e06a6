package admin

import (
	"context"
	"os"
	"os/user"
)

// Access is what a caller may do. Each level has those before it.
type Access uint8

// The levels.
const (
	// NoAccess is none.
	NoAccess Access = iota
	// Read is for all but payloads.
	Read
	// Payloads shows those, too.
	Payloads
	// Control changes.
	Control
)

// String returns the name of the level in lower case.
func (a Access) String() string {
	names := [...]string{"none", "read", "payloads", "control"}
	if int(a) < len(names) {
		return names[a]
	}
	return "unknown"
}

// caller is who asks. In this process that is the program itself, which may do all.
type caller struct {
	by     string // "" unless an authorizer says who it is
	access Access
}

type callerKey struct{}

func withCaller(ctx context.Context, c caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) caller {
	if c, ok := ctx.Value(callerKey{}).(caller); ok {
		return c
	}
	return caller{access: Control}
}

// Someone returns the name of the user that runs this process, and of the machine, as in
// "ann@desk": for a change by a person who did not say another name.
func Someone() string {
	name := "unknown"
	if u, err := user.Current(); err == nil && u.Username != "" {
		name = u.Username
	}
	if host, err := os.Hostname(); err == nil && host != "" {
		name += "@" + host
	}
	return name
}
