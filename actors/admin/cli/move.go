package cli

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/penstock-io/penstock/actors/admin"
)

// moveSpec is a command that changes the checkpoint of a worker.
type moveSpec struct {
	name, short, long string
	args              []argument
	flags             func(*cobra.Command, *admin.Change)
	// meant takes in the arguments after the name of the worker.
	meant func(*call, *admin.Change) error
}

// move returns the command of a change of a checkpoint; the change is its flags.
func (a *app) move(move admin.Move, m moveSpec) *cobra.Command {
	change := admin.Change{Move: move}
	return a.command(spec{
		name: m.name, short: m.short, long: m.long, args: append([]argument{workerArgument()}, m.args...),
		flags: func(cmd *cobra.Command) {
			if m.flags != nil {
				m.flags(cmd, &change)
			}
		},
		change: func(c *call, act admin.Act) (*Change, error) {
			meant := change
			if m.meant != nil {
				if err := m.meant(c, &meant); err != nil {
					return nil, err
				}
			}
			return c.moved(c.args[0], meant, act)
		},
	})
}

// moved changes a checkpoint, and says what that did.
func (c *call) moved(worker string, change admin.Change, act admin.Act) (*Change, error) {
	s, v, err := c.look()
	if err != nil {
		return nil, err
	}
	out, err := s.Change(c.ctx, admin.ChangeRequest{Act: act, Change: change, Worker: worker})
	if err != nil {
		return nil, err
	}
	done := &Change{View: v, Change: string(change.Move) + " " + worker, Worker: worker, Touches: []string{out.Text}, Outcome: &out, Parked: out.Parked}
	done.Outcome.Parked = nil // once is enough
	if out.Undo == nil {
		done.Final = "nothing takes it back"
	} else {
		done.Undo = c.undo(worker, change, *out.Undo)
	}
	return done, nil
}

// undo is the command that takes a change back.
func (c *call) undo(worker string, did, undo admin.Change) string {
	if did.Move == admin.Rename {
		worker = did.Name
	}
	words := []string{"worker", string(undo.Move), worker}
	if undo.Move == admin.Rename {
		words = append(words, undo.Name)
	}
	add := func(flag, value string) {
		if value != "" {
			words = append(words, flag, value)
		}
	}
	add("--to", undo.To)
	if undo.Emit {
		words = append(words, "--emit")
	}
	if r := undo.Region; r != nil {
		add("--entity", r.Entity)
		add("--scope", r.Scope)
		add("--category", r.Category)
		add("--region-kind", strings.Join(r.Kinds, ","))
	}
	add("--kind", strings.Join(undo.Kinds, ","))
	return c.next(append(words, "--reason", "…")...)
}

// toFlag is where a checkpoint is moved.
func toFlag(cmd *cobra.Command, change *admin.Change) {
	cmd.Flags().StringVar(&change.To, "to", "", "a position, a time as 2006-01-02T15:04:05Z, a date, or how long ago, as 1h")
}

// regionFlags are what a worker reads from then on.
func regionFlags(cmd *cobra.Command, change *admin.Change) {
	change.Region = new(admin.Region)
	f := cmd.Flags()
	f.StringVar(&change.Region.Entity, "entity", "", "the region: this entity, and what is below it")
	f.StringVar(&change.Region.Scope, "scope", "", "the region: exactly this scope")
	f.StringVar(&change.Region.Category, "category", "", "the region: kinds that begin with this and a dot")
	f.StringSliceVar(&change.Region.Kinds, "region-kind", nil, "the region: this kind; may be given more than once")
	f.StringSliceVar(&change.Kinds, "kind", nil, "what it handles of the region; may be given more than once; all where it is not given")
}

const bindingHelp = "Region and kinds are those of the new version of its program, which is refused by a start as long as the\n" +
	"checkpoint has others. Without a flag the region is the whole log, and all kinds are handled."

func workerRewindCommand(a *app) *cobra.Command {
	return a.move(admin.Rewind, moveSpec{
		name: "rewind", short: "Send a worker back: it handles again what follows",
		long: "Handlers see that an event is a replay, and what they emit is dropped, unless --emit is given: then effects\n" +
			"happen once more.",
		flags: func(cmd *cobra.Command, change *admin.Change) {
			toFlag(cmd, change)
			cmd.Flags().BoolVar(&change.Emit, "emit", false, "write the reactions once more")
		},
		meant: needsTo,
	})
}

func workerSkipToCommand(a *app) *cobra.Command {
	return a.move(admin.SkipTo, moveSpec{
		name: "skip-to", short: "Send a worker ahead: it never handles what lies between", flags: toFlag, meant: needsTo,
	})
}

func needsTo(_ *call, change *admin.Change) error {
	if change.To == "" {
		return usage("give a position, a time, a date, or how long ago", "--to is missing")
	}
	return nil
}

func workerResetCommand(a *app) *cobra.Command {
	return a.move(admin.Reset, moveSpec{name: "reset", short: "Have a worker begin again at the beginning of the log"})
}

func workerWidenCommand(a *app) *cobra.Command {
	return a.move(admin.Widen, moveSpec{
		name: "widen", short: "Let a worker read more, the past of that included", long: bindingHelp, flags: regionFlags,
	})
}

func workerRebindCommand(a *app) *cobra.Command {
	return a.move(admin.Rebind, moveSpec{
		name: "rebind", short: "Let a worker read something else from now on", long: bindingHelp, flags: regionFlags,
	})
}

func workerRenameCommand(a *app) *cobra.Command {
	return a.move(admin.Rename, moveSpec{
		name: "rename", short: "Give a checkpoint the name that its worker has in the new program", args: []argument{{name: "NAME"}},
		meant: func(c *call, change *admin.Change) error { change.Name = c.args[1]; return nil },
	})
}

func workerDeleteCommand(a *app) *cobra.Command {
	return a.move(admin.Delete, moveSpec{
		name: "delete", short: "Remove the checkpoint of a worker, with all that it keeps",
		long: "The next reader with this name begins at its start.",
	})
}
