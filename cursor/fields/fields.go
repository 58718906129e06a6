// Package fields writes and reads the parts of a record, each by its number.
//
// What is to be written and what was read are named by the same calls, in the same order, so that
// one function tells the format of a thing for both:
//
//	field   = tag value             by ascending tags from 1; one that is zero is left out
//	value   = number                uvarint
//	        | length bytes          of texts
//	        | seconds nanoseconds   of a time: varint, uvarint
//	        | field ... 0           of a part
//	        |                       of a flag
//
// A list is a field for each element, all with its tag. What no call names is an error, so that
// nothing is lost of what a newer program has written.
//
// It is for what packages cursor and reactor/saga keep, and promises no compatibility of its API.
//
// The package must not know: what the fields mean.
package fields

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// ErrMalformed says that what is read was not written by the same calls. The text says where.
var ErrMalformed = errors.New("fields: malformed")

// Coder writes fields, or reads them.
type Coder struct {
	b     []byte // what was written, or is left to be read
	reads bool
	err   error // of reading: the first thing that is wrong
}

// Write returns what the calls of fields write, behind b.
func Write(b []byte, fields func(c *Coder)) []byte {
	c := Coder{b: b}
	fields(&c)
	return c.b
}

// Read has the calls of fields read what the same calls have written. What they read of bytes is
// part of b. It returns [ErrMalformed] for what they do not read all of; then they have read a
// part.
func Read(b []byte, fields func(c *Coder)) error {
	c := Coder{b: b, reads: true}
	fields(&c)
	if len(c.b) > 0 {
		c.Fail("field %d is not known, or comes too late", c.b[0])
	}
	return c.err
}

// Reads reports whether the calls read.
func (c *Coder) Reads() bool { return c.reads }

// Fail says that what is read cannot be. No call reads anything after that.
func (c *Coder) Fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
	}
	c.b = nil
}

// field reports whether a field follows: one that is there, or else the next one.
func (c *Coder) field(tag byte, there bool) bool {
	switch {
	case !c.reads && there:
		c.b = append(c.b, tag)
	case c.reads:
		if there = len(c.b) > 0 && c.b[0] == tag; there {
			c.b = c.b[1:]
		}
	}
	return there
}

// uvarint reads a number.
func (c *Coder) uvarint() uint64 {
	v, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.Fail("a number ends early")
		return 0
	}
	c.b = c.b[n:]
	return v
}

// Number is a field that is a number and not negative.
func Number[T ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int](c *Coder, tag byte, v *T) {
	switch {
	case !c.field(tag, *v != 0):
	case c.reads:
		n := c.uvarint()
		if *v = T(n); *v < 0 || uint64(*v) != n {
			c.Fail("%d is too large for field %d", n, tag)
		}
	default:
		c.b = binary.AppendUvarint(c.b, uint64(*v))
	}
}

// Name is a field that is one of the names of a table. In the log it is its number there.
func Name[T ~string](c *Coder, tag byte, v *T, table []T) {
	n := max(slices.Index(table, *v), 0)
	Number(c, tag, &n)
	if c.reads && n >= len(table) {
		c.Fail("field %d is %d", tag, n)
		return
	}
	*v = table[n]
}

// Flag is a field that is true, or false.
func (c *Coder) Flag(tag byte, v *bool) { *v = c.field(tag, *v) }

// Text is a field of bytes. Those that are read are part of what is read.
func Text[T ~string | ~[]byte](c *Coder, tag byte, v *T) {
	switch {
	case !c.field(tag, len(*v) > 0):
	case c.reads:
		n := c.uvarint()
		if n > uint64(len(c.b)) {
			c.Fail("field %d of %d bytes, of which %d are there", tag, n, len(c.b))
			return
		}
		*v, c.b = T(c.b[:n:n]), c.b[n:]
	default:
		c.b = append(binary.AppendUvarint(c.b, uint64(len(*v))), *v...)
	}
}

// Time is a field of a time, to the nanosecond. It is read as UTC.
func (c *Coder) Time(tag byte, v *time.Time) {
	switch {
	case !c.field(tag, !v.IsZero()):
	case c.reads:
		seconds, n := binary.Varint(c.b)
		if n <= 0 {
			c.Fail("a time ends early")
			return
		}
		c.b = c.b[n:]
		nanoseconds := c.uvarint()
		if nanoseconds >= uint64(time.Second) {
			c.Fail("a time of %d nanoseconds", nanoseconds)
			return
		}
		*v = time.Unix(seconds, int64(nanoseconds)).UTC()
	default:
		c.b = binary.AppendUvarint(binary.AppendVarint(c.b, v.Unix()), uint64(v.Nanosecond()))
	}
}

// end ends a part.
func (c *Coder) end() {
	if !c.reads {
		c.b = append(c.b, 0)
		return
	}
	if len(c.b) == 0 || c.b[0] != 0 {
		c.Fail("a part ends early, or has a field that is not known")
		return
	}
	c.b = c.b[1:]
}

// Part is a field with fields of its own, nil where it is left out.
func Part[T any](c *Coder, tag byte, v **T, fields func(c *Coder, v *T)) {
	if !c.field(tag, *v != nil) {
		return
	}
	if c.reads {
		*v = new(T)
	}
	fields(c, *v)
	c.end()
}

// List is a field for each element.
func List[T any](c *Coder, tag byte, v *[]T, fields func(c *Coder, v *T)) {
	for i := 0; c.field(tag, i < len(*v)); i++ {
		if c.reads {
			*v = append(*v, *new(T))
		}
		fields(c, &(*v)[i])
		c.end()
	}
}

// Table is a field for each element of a map, sorted by names. In it the name is field 1.
func Table[T any](c *Coder, tag byte, v *map[string]*T, fields func(c *Coder, v *T)) {
	if c.reads {
		readTable(c, tag, v, fields)
		return
	}
	var few [8]string
	names := few[:0]
	for name := range *v {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		c.field(tag, true)
		Text(c, 1, &name)
		fields(c, (*v)[name])
		c.end()
	}
}

func readTable[T any](c *Coder, tag byte, v *map[string]*T, fields func(c *Coder, v *T)) {
	for c.field(tag, false) {
		var name string
		e := new(T)
		Text(c, 1, &name)
		fields(c, e)
		c.end()
		if *v == nil {
			*v = make(map[string]*T)
		}
		(*v)[name] = e
	}
}

// Strings is a list of texts.
func Strings(c *Coder, tag byte, v *[]string) {
	List(c, tag, v, func(c *Coder, s *string) { Text(c, 1, s) })
}

// Map is a field for each element, sorted by names.
func Map(c *Coder, tag byte, v *map[string]string) {
	if c.reads {
		for c.field(tag, false) {
			var name, value string
			pair(c, &name, &value)
			if *v == nil {
				*v = make(map[string]string)
			}
			(*v)[name] = value
		}
		return
	}
	for _, name := range slices.Sorted(maps.Keys(*v)) {
		c.field(tag, true)
		value := (*v)[name]
		pair(c, &name, &value)
	}
}

func pair(c *Coder, name, value *string) {
	Text(c, 1, name)
	Text(c, 2, value)
	c.end()
}
