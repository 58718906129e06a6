package render

import (
	"encoding/json"
	"iter"
)

// Stream is a list whose values are printed as they come, and which may have no end.
type Stream[T Answer] struct {
	// Name is NAME in "penstock.NAME/1" of the whole.
	Name string
	// Head is printed before the first value, and its members are those of the JSON object beside
	// "items". Nil for none.
	Head Answer
	// Values come from here. An error is the last one.
	Values iter.Seq2[T, error]
	// End writes what stands after the last of so many values; nil for nothing.
	End func(p *Page, values int)
}

// streamer is a Stream of any type.
type streamer interface{ print(p *Printer) error }

// Schema implements [Answer].
func (s *Stream[T]) Schema() string { return s.Name }

// Text implements [Answer]: it writes all values. An error among them ends the page.
func (s *Stream[T]) Text(p *Page) {
	if s.Head != nil {
		s.Head.Text(p)
	}
	n := 0
	for v, err := range s.Values {
		if err != nil {
			return
		}
		v.Text(p)
		n++
	}
	if s.End != nil {
		s.End(p, n)
	}
}

// print prints each value as it comes but in JSON, which is one object. What came before an error
// is printed, and the error returned.
func (s *Stream[T]) print(p *Printer) error {
	switch p.Format {
	case Lines:
		return s.each(p.json)
	case JSON:
		return s.object(p)
	case Text:
	}
	if s.Head != nil {
		if err := p.text(s.Head); err != nil {
			return err
		}
	}
	n := 0
	err := s.each(func(a Answer) error { n++; return p.text(a) })
	if err != nil || s.End == nil {
		return err
	}
	page := p.Page()
	s.End(page, n)
	_, err = p.To.Write(page.out.Bytes())
	return err
}

func (s *Stream[T]) each(do func(Answer) error) error {
	for v, err := range s.Values {
		if err == nil {
			err = do(v)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// object prints all values in one object. After an error it has those before it, and "partial".
func (s *Stream[T]) object(p *Printer) error {
	items := []json.RawMessage{}
	cut := s.each(func(a Answer) error {
		b, err := json.Marshal(a)
		items = append(items, b)
		return err
	})
	if cut != nil && len(items) == 0 {
		return cut
	}
	members := make(map[string]json.RawMessage)
	if s.Head != nil {
		b, err := json.Marshal(s.Head)
		if err == nil {
			err = json.Unmarshal(b, &members)
		}
		if err != nil {
			return err
		}
	}
	var err error
	if members["items"], err = json.Marshal(items); err != nil {
		return err
	}
	if cut != nil {
		return &PartialError{Members: members, Err: cut, Name: s.Name}
	}
	object, err := Object(whole{members, s.Name})
	if err != nil {
		return err
	}
	return p.Raw(object)
}

// PartialError is an error after some values of a list: as JSON they are printed with it, in one
// object.
type PartialError struct {
	Name    string // of the schema
	Members map[string]json.RawMessage
	Err     error
}

// Error implements error.
func (e *PartialError) Error() string { return e.Err.Error() }

// Unwrap returns the error.
func (e *PartialError) Unwrap() error { return e.Err }

// whole is an object that was made of others.
type whole struct {
	members map[string]json.RawMessage
	name    string
}

func (w whole) Schema() string               { return w.name }
func (w whole) Text(*Page)                   {}
func (w whole) MarshalJSON() ([]byte, error) { return json.Marshal(w.members) }
