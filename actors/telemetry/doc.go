// Package telemetry tells OpenTelemetry what workers do: spans of what is appended and handled,
// while it happens ([Probe], [Append]) or from the log alone at any time after ([Export]), and
// metrics ([Metrics]). It imports the API of OpenTelemetry, not its SDK, and a program without it
// has none of that at work.
//
// # Ids
//
// No id of a span is stored: each follows from what the log has. The trace of an event is its
// correlation ([TraceOf]), the span of a handler is that of its event and its emitter ([SpanOf]),
// and that of an append is that of the event ([AppendOf]). So spans that were exported while it
// happened, and those that are exported from the log next month, are the same ones, and who exports
// them twice has them once. The SDK takes ids by rule from [IDs]:
//
//	trace.NewTracerProvider(trace.WithIDGenerator(telemetry.IDs{}), ...)
//
// Without that its ids are random, and links lead to spans that only Export makes.
//
// # Links
//
// The span of a handler has a link to the span that its event came from, and no parent: handlers
// run long after, and again, and a trace would have no end. All spans of a correlation are of one
// trace.
package telemetry
