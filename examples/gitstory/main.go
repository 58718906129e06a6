// Command gitstory shows the history of a git repository: who wrote it, which files change most,
// and which files change together.
//
//	go run -C examples/gitstory . [-repo DIR] [-data DIR] [-hotspot N] [-top N] [-crash-after N]
//
// Kill it on the way, and watch the next run continue where the log says:
//
//	go run -C examples/gitstory . -data DIR -crash-after 3
//	go run -C examples/gitstory . -data DIR
//
// It appends every commit and every changed file to a log, as typed events, while three supervised
// reactors read that log and emit events of their own:
//
//	git log --numstat -z
//	     |          one commit = one batch, with its hash in the idempotency key:
//	     |          a second run appends only what is new
//	     v
//	commit.recorded  commit:<hash>  ---+---> contributors --> author.credited  author:<name and mail>
//	                                   +---> pairs ---------> pair.changed     pair:<path>:<path>
//	file.changed     file:<path>  ---------> hotspots ------> hotspot.found    hotspot:<path>
//	                                                              |
//	table  <------------------------- read from the log ----------+
//
// # Why it may be killed anywhere
//
// No reactor keeps anything in memory. What a program would usually count, the log counts: an
// entity numbers its events from 1, and since a commit changes a path once, the version of a
// file.changed event is how often that path has changed so far. So hotspots is one comparison: the
// event whose version is the threshold is the one that made its file a hotspot. There is one such
// event per path, it is handled until its batch is committed, and hotspot.found is in that batch
// beside the checkpoint: it is in the log once, wherever the program died. The table is counted the
// same way, from the versions of what the reactors wrote. Nothing is rebuilt at a start, because
// there is nothing to lose.
//
// -crash-after 5 kills the process with SIGKILL when the fifth batch is handled and not yet
// committed, the worst moment there is. Run it again as often as you like; the numbers are those of
// git.
//
// # What it makes of git
//
// It follows HEAD, oldest commit first, without the mailmap. A merge counts as a commit without
// files, as git log shows it. A renamed file counts under its new path, which the event names
// together with the old one. A binary file has no lines. Names are percent-encoded where they are
// not printable UTF-8. Commits of more than 16 files make no pairs: a reformatting says nothing
// about what belongs together.
//
// The log only grows. A commit that a rebase drops from HEAD stays in the table, and one whose
// numbers git sees differently today (another .gitattributes, another threshold of renames) keeps
// those that were appended first.
//
// By default the log lies in the repository's git directory, in a folder gitstory, which may be
// deleted at any time. A log belongs to one repository, named by the path of its git directory:
// another one is refused.
//
// The program starts no goroutine: it appends on the one it has, and the reactors run on those of
// package actors.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/checkpoint"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/store"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, parseFlags(), os.Stdout, os.Stderr)
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted; run it again to continue")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "gitstory:", err)
		os.Exit(1)
	}
}

type options struct {
	repo, data string
	hotspot    uint64
	top        int
	crashAfter int
}

func parseFlags() options {
	var o options
	flag.StringVar(&o.repo, "repo", ".", "a `directory` of the git repository")
	flag.StringVar(&o.data, "data", "", "the `directory` of the log (default: gitstory in the git directory)")
	flag.Uint64Var(&o.hotspot, "hotspot", 20, "`changes` that make a file a hotspot, at least 1")
	flag.IntVar(&o.top, "top", 10, "`rows` of each table")
	flag.IntVar(&o.crashAfter, "crash-after", 0, "die by SIGKILL when this many `batches` are handled; 0: never")
	flag.Parse()
	if flag.NArg() > 0 || o.hotspot == 0 || o.top < 0 || o.crashAfter < 0 {
		flag.Usage()
		os.Exit(2)
	}
	return o
}

// run brings the log up to date with the repository and prints the tables to out. Progress goes to
// status.
func run(ctx context.Context, o options, out io.Writer, status *os.File) error {
	repo, err := openRepository(ctx, o.repo)
	if err != nil {
		return err
	}
	if o.data == "" {
		o.data = filepath.Join(repo.home, "gitstory")
	}
	// A power cut may take the last tenth of a second. The next run finds the same commits in git and
	// appends them again, so there is no need to wait for the disk at each one.
	st, err := store.Open(o.data, store.Options{Sync: store.SyncInterval})
	if err != nil {
		return err
	}
	defer st.Close()

	if err := checkOwner(ctx, st, repo); err != nil {
		return err
	}
	if err := update(ctx, st, repo, o, status); err != nil {
		return err
	}
	return printStory(ctx, out, st, o)
}

// checkOwner refuses a log of another repository.
func checkOwner(ctx context.Context, st *store.Store, repo repository) error {
	first, err := st.ReadPage(ctx, store.Region{}, 0, 0, 1)
	if err != nil || len(first.Events) == 0 {
		return err
	}
	if owner := first.Events[0].Coordinate.Scope; owner != repo.scope() {
		return fmt.Errorf("the log is of the repository %s, not of %s: name another directory with -data", owner, repo.scope())
	}
	return nil
}

// update appends what git knows while the reactors work, and returns when they have handled all of
// it.
func update(ctx context.Context, st *store.Store, repo repository, o options, status *os.File) (err error) {
	head, err := repo.head(ctx)
	if err != nil || head == "" {
		return err
	}
	commits, err := repo.count(ctx, head)
	if err != nil {
		return err
	}
	all := reactors(repo.scope(), o.hotspot)
	if err := printPositions(st, o.data, all, status); err != nil {
		return err
	}
	progress := newProgress(status)
	defer progress.end()
	crash := crashAfter(o.crashAfter, progress.say)

	tree := supervise(all, func(events int) {
		progress.handled(events)
		crash.batch()
	})
	sys, err := actors.Start(ctx, st, actors.Options{}, tree)
	if err != nil {
		return err
	}
	defer func() {
		if stopped := sys.Stop(context.WithoutCancel(ctx)); err == nil {
			err = stopped // a halted worker is an error, even if nothing waits for it
		}
	}()

	progress.begin(appending, commits)
	if err := appendHistory(ctx, st, repo.scope(), repo.history(ctx, head), progress); err != nil {
		return err
	}
	progress.begin(catchingUp, lag(sys))
	if err := waitForAll(ctx, sys); err != nil {
		return err
	}
	progress.complete()
	crash.survived()
	return nil
}

// printPositions prints what the log holds and where the reactors resume.
func printPositions(st *store.Store, data string, all []*reactor.Reactor, status io.Writer) error {
	places := make([]string, len(all))
	for i, r := range all {
		name := r.Spec().Name
		info, err := checkpoint.Inspect(st, checkpoint.ID(name))
		if err != nil && !errors.Is(err, checkpoint.ErrNotFound) {
			return err
		}
		places[i] = fmt.Sprintf("%s after %d", name, info.Record.Scanned)
	}
	_, err := fmt.Fprintf(status, "%s holds %d events; resuming: %s\n", data, st.Head(), strings.Join(places, ", "))
	return err
}

// lag is the number of events that the reactors have still to handle, summed over all.
func lag(sys *actors.System) int {
	sum := 0
	for _, w := range sys.Status().Workers {
		sum += w.Lag
	}
	return sum
}

// waitForAll waits until each worker has handled everything in the log, or until one cannot.
func waitForAll(ctx context.Context, sys *actors.System) error {
	for _, w := range sys.Status().Workers {
		if err := sys.WaitCaughtUp(ctx, w.Name); err != nil {
			return fmt.Errorf("wait for %s: %w", w.Name, err)
		}
	}
	return nil
}
