package drive

// State of a worker, as everybody may see it.
type State uint8

// The states of a worker.
const (
	// Starting: it acquires its checkpoint, or has not looked for events yet.
	Starting State = iota
	// Idle: it has handled everything and waits for new events.
	Idle
	// Running: it reads, handles or commits; or is about to, where steps are taken one by one.
	Running
	// Retrying: it waits to try an event again, or to acquire its checkpoint, or for the store to have
	// room. With lanes, other events may be handled meanwhile; then it is running.
	Retrying
	// Outage: what its handler needs cannot be reached, so events wait, and one at a time is tried.
	// With lanes, those of other dependencies are handled.
	Outage
	// Full: it reads no new events, because the next one has to be held and as much is parked as may
	// be. What is replayed is handled, and it continues once there is room.
	Full
	// Throttled: it has events to handle, and waits for its rate.
	Throttled
	// Restarting: it waits to be started as a fresh actor.
	Restarting
	// Paused: an operator lets it rest.
	Paused
	// Halted: its policy has ended it. It is started again when an operator resumes it, and by the
	// next start of the system, with a fresh count of attempts.
	Halted
	// Ended: its handler said that it is done.
	Ended
	// Stopped: the system was stopped.
	Stopped
)

// String returns the name of the state in lower case.
func (s State) String() string {
	names := [...]string{
		"starting", "idle", "running", "retrying", "outage", "full", "throttled", "restarting", "paused", "halted", "ended", "stopped",
	}
	if int(s) < len(names) {
		return names[s]
	}
	return "unknown"
}

// MarshalText returns the name of the state: in JSON it is a string.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MayBecome reports whether a worker in state s may come into state next. What an incarnation that
// is about to be replaced, or that is over, still does is not shown.
//
//	from                             to
//	Starting                         any
//	Idle, Running, Retrying, Outage,
//	Full, Throttled, Paused          any but Starting
//	Restarting                       Starting, Restarting, Halted, Ended, Stopped
//	Halted                           Starting, Restarting: it was resumed
//	Ended                            none
//	Stopped                          Halted, Ended: the last verdict comes after the stop
func (s State) MayBecome(next State) bool {
	switch s {
	case Starting:
		return true
	case Idle, Running, Retrying, Outage, Full, Throttled, Paused:
		return next != Starting
	case Restarting:
		return next == Starting || next == Restarting || next == Halted || next == Ended || next == Stopped
	case Halted:
		return next == Starting || next == Restarting
	case Stopped:
		return next == Halted || next == Ended || next == Stopped
	case Ended:
		return false
	}
	return false
}
