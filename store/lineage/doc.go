// Package lineage draws why things happened: events and what they led to, as text, DOT, Mermaid,
// SVG and JSON.
//
//	store.Lineage ---> Forest     events, each under its cause; for machines as JSON
//	                     |
//	                  Picture     boxes and arrows, of whatever
//	                     |
//	        +---------+--+------+---------+
//	      Text       DOT     Mermaid     SVG
//
// A [Forest] is what is known of some events: each has one cause at most. Where it ends although
// the log continues, or does not have what an event points at, it has a node that says so. A
// [Picture] knows nothing of events: other things that are boxes and arrows are drawn by the same
// means, with arrows that lead back where they do.
//
// The package reads no log and knows no store. It starts no goroutine and keeps nothing: values may
// be used by many goroutines as long as none changes them.
//
// Names may hold anything. What is no graphic character is written as an escape in all renderings,
// so that a name never moves a cursor, ends a label, or becomes a tag.
package lineage
