package saga

import (
	"fmt"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/penstock-io/penstock/supervision"
)

// panicked is a panic of what a saga has called: the error of that input, or of that attempt, as
// any other. A worker whose handlers panic often is halted, since its state may be broken, and with
// it all instances; what a saga calls has no state but that of one instance, which is kept whole.
type panicked struct {
	*supervision.PanicError

	at string // file and line
}

// guarded calls something, and returns a panic as an error.
func guarded(call func() error) (err error) {
	defer func() {
		v := recover()
		if v == nil { // also where the goroutine ends
			return
		}
		err = &panicked{PanicError: &supervision.PanicError{Err: fmt.Errorf("%v", v), Stack: debug.Stack()}, at: whence()}
	}()
	return call()
}

// whence is where the panic began that is recovered by the caller.
func whence() string {
	pcs := make([]uintptr, 16)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs)])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", filepath.Base(f.File), f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

func (p *panicked) Error() string { return fmt.Sprintf("%v, at %s", p.PanicError, p.at) }

// Unwrap returns the supervision.PanicError, which has the stack.
func (p *panicked) Unwrap() error { return p.PanicError }

// Fault says that it is no sign of an outage.
func (p *panicked) Fault() {}
