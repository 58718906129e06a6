package telemetry

import (
	"go.opentelemetry.io/otel/attribute"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/store"
)

// Scope is the name of the instrumentation, for the providers of tracers and meters.
const Scope = "github.com/penstock-io/penstock/actors/telemetry"

// schemaURL is the version of the conventions for messaging that the names here follow.
const schemaURL = "https://opentelemetry.io/schemas/1.37.0"

// ofEvent are the attributes of a span that is about an event.
func ofEvent(e *store.Event, operation string) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "penstock"),
		attribute.String("messaging.operation.type", operation),
		attribute.String("messaging.destination.name", e.Kind),
		attribute.String("messaging.message.id", e.ID.String()),
		attribute.String("messaging.message.conversation_id", e.Correlation.String()),
		attribute.Int64("penstock.position", int64(e.Position)),
		attribute.String("penstock.entity", e.Coordinate.Entity),
	}
}

// ofEmitter are those of a worker that handles.
func ofEmitter(by store.Emitter) []attribute.KeyValue {
	list := []attribute.KeyValue{
		attribute.String("messaging.consumer.group.name", by.Worker),
		attribute.Int64("penstock.epoch", int64(by.Epoch)),
		attribute.Int64("penstock.run", int64(by.Attempt)),
	}
	if by.Build != "" {
		list = append(list, attribute.String("penstock.build", by.Build))
	}
	return list
}

// ofTry are those of one try of a handler.
func ofTry(t cursor.Try) []attribute.KeyValue {
	list := append(ofEvent(&t.Events[0], "process"), ofEmitter(t.By)...)
	if len(t.Events) > 1 {
		list = append(list, attribute.Int("messaging.batch.message_count", len(t.Events)))
	}
	return append(list,
		attribute.Int("penstock.attempt", t.Attempt), attribute.Int("penstock.lane", t.Lane),
		attribute.Bool("penstock.replayed", t.Replayed), attribute.Bool("penstock.parked", t.Parked),
	)
}

// ofWriting are those of a commit.
func ofWriting(w cursor.Writing) []attribute.KeyValue {
	return []attribute.KeyValue{
		attribute.String("messaging.system", "penstock"),
		attribute.String("messaging.operation.type", "settle"),
		attribute.String("messaging.consumer.group.name", w.Worker),
		attribute.Int("messaging.batch.message_count", w.Handled),
		attribute.Int("penstock.reactions", w.Reactions),
		attribute.Int("penstock.bytes", w.Bytes),
	}
}
