package supervision

import (
	"errors"
	"unicode/utf8"
)

// MaxErrorBytes is how much of the text of an error of the program is kept and shown.
const MaxErrorBytes = 4096

// Capture reads what is needed of an error that a function of the program returned, its text and
// its directive, and returns an error that has both and wraps it. The methods of the program's
// error may panic or end the goroutine: they are called here, and by callers that unwrap it, but
// not again where the failure is judged and shown. nil stays nil, and so does what was captured.
//
// The text is what redact makes of it, unless that is nil, cut to [MaxErrorBytes]: an error may
// have a whole response or document in it, and is kept with what is parked. Where the text is
// longer than that, only those of the errors below err are wrapped whose own text is not: the
// memory of the others is not kept with a worker and its transitions.
func Capture(err error, redact func(text string) string) error {
	if _, done := err.(*captured); done || err == nil { //nolint:errorlint // what is around it is not captured
		return err
	}
	whole := err.Error()
	text := whole
	if redact != nil {
		text = redact(text)
	}
	c := &captured{text: clip(text), err: err}
	c.directive, c.directed = ownDirective(err)
	if len(whole) > MaxErrorBytes {
		c.err = errors.Join(short(err, nil)...)
	}
	return c
}

// IsCaptured reports whether [Capture] made err itself: what it wraps was said by the program.
func IsCaptured(err error) bool {
	_, is := err.(*captured) //nolint:errorlint // what is around it is not captured
	return is
}

// maxShort is how many errors of a tree are kept.
const maxShort = 16

// short adds the outermost errors of a tree whose texts are short.
func short(err error, list []error) []error {
	switch e := err.(type) { //nolint:errorlint // this is the walk
	case nil:
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			list = keepShort(one, list)
		}
	case interface{ Unwrap() error }:
		list = keepShort(e.Unwrap(), list)
	}
	return list
}

func keepShort(err error, list []error) []error {
	switch {
	case err == nil, len(list) == maxShort:
		return list
	case len(err.Error()) <= MaxErrorBytes:
		return append(list, err)
	}
	return short(err, list)
}

// clip cuts a text to MaxErrorBytes, between characters.
func clip(s string) string {
	if len(s) <= MaxErrorBytes {
		return s
	}
	end := MaxErrorBytes
	for end > MaxErrorBytes-utf8.UTFMax && !utf8.RuneStart(s[end]) {
		end--
	}
	return string([]byte(s[:end])) // a copy, so that the rest is not kept
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
