package supervision

// Capture reads what is needed of an error that a function of the program returned, its text and
// its directive, and returns an error that has both and wraps it. The methods of the program's
// error may panic or end the goroutine: they are called here, and by callers that unwrap it, but
// not again where the failure is judged and shown. nil stays nil.
func Capture(err error) error {
	if err == nil {
		return nil
	}
	c := &captured{text: err.Error(), err: err}
	c.directive, c.directed = ownDirective(err)
	return c
}

// captured is an error of the program. It is never written to after it was made, so any goroutine
// may read it.
type captured struct {
	text      string
	directive Directive
	directed  bool
	err       error
}

func (c *captured) Error() string { return c.text }

// Unwrap is for errors.Is and errors.As.
func (c *captured) Unwrap() error { return c.err }
