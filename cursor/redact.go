package cursor

// Redact takes out of the text of an error what must be neither shown nor kept, such as personal
// data and credentials, and returns the rest. nil leaves texts as they are. It is given the whole
// text, from several goroutines at once, must not block, and what it returns is cut to
// [supervision.MaxErrorBytes].
//
// A text of which it panics, or ends its goroutine, is shown as one that could not be redacted, and
// nothing else of it.
type Redact func(text string) string

// unredacted stands for a text that could not be redacted. What the panic says is left out: it may
// quote the text.
const unredacted = "(an error that could not be redacted)"

// Text is what may be shown and kept of a text.
//
// The function runs on a goroutine of its own, since runtime.Goexit would end that of a worker.
func (r Redact) Text(text string) string {
	if r == nil {
		return text
	}
	done := make(chan string, 1)
	go func() { // ends with r
		shown := unredacted
		defer func() {
			_ = recover() // its value may quote the text
			done <- shown
		}()
		shown = r(text)
	}()
	return <-done
}

// WithRedact returns the worker with a function through which the texts of its errors go, before
// anything shows or keeps them: those of its handler and its other functions, the values of
// panics, and what the store says of reactions that it refuses. Package actors sets it, see
// actors.Options.Redact.
func (w Worker) WithRedact(r Redact) Worker {
	w.redact = r
	return w
}
