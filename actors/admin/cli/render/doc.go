// Package render prints what a command has found: the same value as text for people, or as JSON for
// programs.
//
//	Answer ----> Print ----> Text(page)       cells with a tone; colours where there is a terminal
//	Stream --/         \---> JSON             {"schema": "penstock.NAME/1", …}
//	                    \--> JSON lines       the same on one line, a list as a line for each value
//
// Text has nothing but the value to make a page from, so that JSON is never poorer than it. What
// comes from a log is written with escapes in the place of what is no graphic character.
//
// The package reads no store and knows no command. Values of it belong to one goroutine.
package render
