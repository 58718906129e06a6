// Package cli is the command penstock, as a library: a program that has its own types of events
// mounts it as one of its own commands.
//
//	penstock status DIR          the line                  myapp ops status DIR
//	         |                                                  |
//	    cmd/penstock                                   root.AddCommand(cli.New(…))
//	         +-------------------------+------------------------+
//	                                   v
//	                  command: arguments, target, rules of changes
//	                     |                                  ^
//	             admin.Surface or store                   a value
//	                     v                                  |
//	               live, beside, cold          render: table | JSON | JSON lines
//
// [New] returns the command, and [ExitCode] says with which code its process ends:
//
//	root.AddCommand(cli.New(cli.Options{Redact: hideCards}))
//	os.Exit(cli.ExitCode(root.ExecuteContext(ctx)))
//
// # The target
//
// A command is about a directory, or about a URL where admin.Handler is mounted. It is the first
// argument, or what --target or PENSTOCK_TARGET says where that argument is left out. The first
// line of each answer says whether it was found live, beside the process that writes, or cold, and
// as of which position. A directory that is not there is never made.
//
// # Answers
//
// What a command has found is a value. It is printed as text for people, with --json as one object
// whose "schema" is "penstock.NAME/1", or with --json=lines as one object on a line, and a list as
// a line for each of its values. The text is made from what the JSON has, and from nothing else. An
// error is text on stderr, and with --json also {"error": {"code", "text", "hint"}} on stdout.
// Colours and widths are those of the terminal; without one there are none. What an event or a name
// holds never moves a cursor.
//
// # Changes
//
// A command that changes something says what it touches and what takes that back. It needs a
// --reason, and --yes: only where both stdin and stdout are terminals it asks instead. --dry-run
// says it and does nothing.
//
// # Exit codes
//
//	0  it is done, or all is well
//	1  it failed
//	2  the command was not understood
//	3  there is no such store, worker or event
//	4  refused: locked, in conflict, not allowed, the wrong state
//	5  it found what needs a person
//	6  the store is damaged
//	7  there was no answer, or none in time
//	8  whether the change was made cannot be told
//
// The package knows no more of workers and logs than package admin and the functions of package
// store say, and decides nothing. It starts no goroutine that a command does not wait for, and
// keeps nothing between two commands.
package cli
