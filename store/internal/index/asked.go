package index

import (
	"errors"
	"runtime"
	"runtime/debug"
)

// AtOnce is how many indexes an [Asked] is looked for in at once.
const AtOnce = 64

// An Asked is a name that is looked for in the filters of many indexes. Most of them do not have
// it, and say so by one line of memory each, which no cache has. Asked one after another, each
// would be waited for.
type Asked struct {
	field field
	text  string
	hash  uint64 // under salt 0, which nearly all indexes have
}

// AskEntity asks for an entity, of which LastOf tells more.
func AskEntity(entity string) Asked { return askFor(fieldNamespace, namespace(entity)) }

// AskState asks for the state of an entity, of which FindState tells more.
func AskState(entity string) Asked { return askFor(fieldEntity, entity) }

// AskKey asks for an idempotency key, of which FindKey tells more.
func AskKey(key string) Asked { return askFor(fieldKey, key) }

func askFor(f field, text string) Asked { return Asked{f, text, hash(0, f, text)} }

// Perhaps returns a bit for each of up to [AtOnce] indexes, 1 where what is asked for may be, and 0
// where it is not. It does not know of an index that is nil, or read piece by piece, or whose
// filter nothing has checked yet or is damaged: the bit is 1, and that one must be asked itself.
func (q *Asked) Perhaps(of []*Sealed) (perhaps uint64) {
	defer func(before bool) {
		debug.SetPanicOnFault(before)
		if cause := recover(); cause != nil {
			perhaps = q.faulted(of, cause)
		}
		perhaps &= 1<<len(of) - 1
		runtime.KeepAlive(of)
	}(guard())
	var lines [AtOnce][]byte
	perhaps = q.find(of, &lines)
	touchAll(lines[:len(of)])
	for i, line := range lines[:len(of)] {
		if line != nil && inLine(line, q.hashIn(of[i])) {
			perhaps |= 1 << i
		}
	}
	return perhaps
}

// find returns the lines of the filters, nil where there is nothing to look at, and a bit for each
// index that must be asked itself. It looks at no mapped memory.
func (q *Asked) find(of []*Sealed, lines *[AtOnce][]byte) (unknown uint64) {
	for i, s := range of {
		if s == nil {
			unknown |= 1 << i
			continue
		}
		f := q.filterOf(s)
		if f.lines == 0 {
			continue
		}
		at := f.start + lineOf(q.hashIn(s), f.lines)*lineSize
		if lines[i] = s.good(at); lines[i] == nil {
			unknown |= 1 << i
		}
	}
	return unknown
}

func (q *Asked) filterOf(s *Sealed) filter {
	if q.field == fieldNamespace {
		return s.termFilter
	}
	return s.keyFilter // of states, too
}

func (q *Asked) hashIn(s *Sealed) uint64 {
	if s.head.salt == 0 {
		return q.hash
	}
	return hash(s.head.salt, q.field, q.text)
}

// faulted is the answer after a panic: where a mapping cannot be read, all must be asked.
func (q *Asked) faulted(of []*Sealed, cause any) (perhaps uint64) {
	var fault interface{ Addr() uintptr }
	if err, ok := cause.(runtime.Error); ok && errors.As(err, &fault) {
		for _, s := range of {
			if s != nil && s.owns(fault.Addr()) {
				return ^uint64(0)
			}
		}
	}
	panic(cause)
}

// good returns a line of the body in memory, nil where its block was not found good yet.
func (b *blob) good(at int) []byte {
	block := at / blockSize
	if b.memory == nil || b.checked[block/64].Load()&(1<<(block%64)) == 0 {
		return nil
	}
	return b.memory[b.start+at:][:lineSize:lineSize]
}

// touchAll brings lines into the cache of the processor. As nothing here depends on what is read,
// the processor waits for all of them at once. What it returns is of no use, which no compiler may
// find out.
//
//go:noinline
func touchAll(lines [][]byte) (sum byte) {
	for _, line := range lines {
		if len(line) > 0 {
			sum += line[0]
		}
	}
	return sum
}
