package telemetry

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"github.com/google/uuid"
	"go.opentelemetry.io/otel/trace"

	"github.com/penstock-io/penstock/store"
)

// TraceOf returns the trace of all events of a correlation, which has the same 16 bytes.
func TraceOf(correlation uuid.UUID) trace.TraceID { return trace.TraceID(correlation) }

// SpanOf returns the span in which a worker handled an event: by is the emitter of what it wrote
// as an answer, see [store.Event.Emitter]. It is the first eight bytes of the SHA-256 of
//
//	"penstock/1\0handle\0", the worker, "\0", the 16 bytes of the event's id, the epoch, the attempt
//
// with the numbers as 8 bytes, big-endian. The epoch is part of it since attempts are counted again
// by a process that takes over. Worker.Build is not. What a rewind has handled again is a span of a
// random id.
func SpanOf(event uuid.UUID, by store.Emitter) trace.SpanID {
	text := append([]byte("penstock/1\x00handle\x00"), by.Worker...)
	text = append(append(text, 0), event[:]...)
	text = binary.BigEndian.AppendUint64(text, by.Epoch)
	return spanOf(binary.BigEndian.AppendUint64(text, uint64(by.Attempt)))
}

// AppendOf returns the span in which an event was appended that no worker emitted: the first eight
// bytes of the SHA-256 of "penstock/1\0append\0" and the 16 bytes of its id.
func AppendOf(event uuid.UUID) trace.SpanID {
	return spanOf(append([]byte("penstock/1\x00append\x00"), event[:]...))
}

// spanOf is never zero, which is no span.
func spanOf(text []byte) (id trace.SpanID) {
	digest := sha256.Sum256(text)
	if copy(id[:], digest[:]); !id.IsValid() {
		id[len(id)-1] = 1
	}
	return id
}

// origin is the span that an event came from.
func origin(e *store.Event) trace.SpanContext {
	id := AppendOf(e.ID)
	if by, emitted := e.Emitter(); emitted && e.Cause != uuid.Nil {
		id = SpanOf(e.Cause, by)
	}
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: TraceOf(e.Correlation), SpanID: id, TraceFlags: trace.FlagsSampled, Remote: true,
	})
}

// wanted is the ids that the next span of a context is to have.
type wanted struct {
	trace trace.TraceID
	span  trace.SpanID // zero for a random one
}

type wantedKey struct{}

// IDs is an IDGenerator of the SDK: the spans of this package have the ids of [TraceOf], [SpanOf]
// and [AppendOf], and all others random ones.
type IDs struct{}

// NewIDs returns the ids of a span that begins a trace.
func (IDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if w, ok := ctx.Value(wantedKey{}).(wanted); ok {
		if !w.span.IsValid() {
			w.span = randomSpan()
		}
		return w.trace, w.span
	}
	var id trace.TraceID
	binary.BigEndian.PutUint64(id[:8], rand.Uint64()|1)
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	return id, randomSpan()
}

// NewSpanID returns the id of a span within a trace.
func (IDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return randomSpan() }

func randomSpan() (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}

// started begins a span by rule, with the ids if it has some, and returns it alone: spans that are
// begun within it must not find the ids.
func started(ctx context.Context, tracer trace.Tracer, name string, ids *wanted, o ...trace.SpanStartOption) trace.Span {
	if ids != nil {
		ctx = context.WithValue(ctx, wantedKey{}, *ids)
	}
	_, span := tracer.Start(ctx, name, append(o, trace.WithNewRoot())...)
	return span
}
