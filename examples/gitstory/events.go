package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/penstock-io/penstock/store"
)

// Recorded is a commit, as git reports it.
type Recorded struct {
	Hash    string
	Author  string // "name <mail>"
	When    string // the author's date in ISO 8601
	Subject string
	Parents int
	Files   int // that it changed
	Added   int // lines, of all files
	Deleted int
	// Paths of the changed files, sorted; at most the first pathsPerCommit of them.
	Paths []string `json:",omitempty"`
}

// Kind is commit.recorded.
func (Recorded) Kind() string { return "commit.recorded" }

// Changed is what a commit did to one file, as git reports it.
type Changed struct {
	Commit  string
	Path    string
	From    string `json:",omitempty"` // the old path of a renamed file
	Added   int    // lines
	Deleted int
	Binary  bool `json:",omitempty"` // it has no lines
}

// Kind is file.changed.
func (Changed) Kind() string { return "file.changed" }

// Credited says that a commit counts for its author.
type Credited struct {
	Author  string
	Commit  string
	Added   int // lines
	Deleted int
}

// Kind is author.credited.
func (Credited) Kind() string { return "author.credited" }

// Hotspot says that a file has changed often, and which commit made it so.
type Hotspot struct {
	Path    string
	Changes uint64
	Commit  string
}

// Kind is hotspot.found.
func (Hotspot) Kind() string { return "hotspot.found" }

// Together says that a commit changed two files, A before B in the order of their bytes.
type Together struct {
	A, B   string
	Commit string
}

// Kind is pair.changed.
func (Together) Kind() string { return "pair.changed" }

// Limits that keep the largest commit below those of a batch and of a payload, with the longest
// paths too.
const (
	eventsPerBatch = 1000
	pathsPerCommit = 1000
)

// authorHeader is a header of all events about a commit.
const authorHeader = "author"

// batches turns a commit into events: one batch, or several for a commit of a great many files. The
// keys are the same at every run, so a run that was killed between two batches leaves the rest to
// the next one.
func (c commit) batches(scope string) []store.Batch {
	author := escape(c.author + " <" + c.mail + ">")
	headers := map[string]string{authorHeader: author}
	recorded, files := c.events(author)
	events := []store.Proposal{{At: store.At(commitEntity(c.hash), scope), Payload: recorded, Headers: headers}}
	for _, f := range files {
		events = append(events, store.Proposal{At: store.At(fileEntity(f.Path), scope), Payload: f, Headers: headers})
	}
	var batches []store.Batch
	for part := range slices.Chunk(events, eventsPerBatch) {
		key := fmt.Sprintf("git:%s:%s:%d", scope, c.hash, len(batches)+1)
		batches = append(batches, store.Batch{IdempotencyKey: key, Events: part})
	}
	return batches
}

// events returns the commit and its changes with names that the log can hold, sorted by path.
func (c commit) events(author string) (Recorded, []Changed) {
	r := Recorded{
		Hash: c.hash, Author: author, When: c.when, Subject: c.subject,
		Parents: c.parents, Files: len(c.changes),
	}
	var files []Changed
	for _, f := range c.changes {
		files = append(files, Changed{
			Commit: c.hash, Path: escape(f.path), From: escape(f.from),
			Added: f.added, Deleted: f.deleted, Binary: f.binary,
		})
		r.Added += f.added
		r.Deleted += f.deleted
	}
	slices.SortFunc(files, func(a, b Changed) int { return strings.Compare(a.Path, b.Path) })
	for _, f := range files[:min(len(files), pathsPerCommit)] {
		r.Paths = append(r.Paths, f.Path)
	}
	return r, files
}
