package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/penstock-io/penstock/cursor"
	"github.com/penstock-io/penstock/reactor"
	"github.com/penstock-io/penstock/reactor/reactortest"
	"github.com/penstock-io/penstock/store"
	"github.com/penstock-io/penstock/store/storetest"
)

func drawName(t *rapid.T) string {
	odd := rapid.SampledFrom([]string{":", "%", "%41", "\n", "\xff", "\u202e", "é", "%~", strings.Repeat("x", 300)})
	part := rapid.OneOf(odd, rapid.StringN(1, 5, -1), rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, 5),
		func(b []byte) string { return string(b) }))
	return strings.Join(rapid.SliceOfN(part, 1, 6).Draw(t, "name"), "")
}

func TestEscapingANameLosesNoByte(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := drawName(t)
		back, err := url.PathUnescape(escape(name))
		require.NoError(t, err)
		require.Equal(t, name, back)
	})
}

func TestEveryNameMakesAnEntityThatTheLogTakes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := escape(drawName(t)), escape(drawName(t))
		for _, e := range []string{fileEntity(a), authorEntity(a), hotspotEntity(a), pairEntity(a, b)} {
			require.NoError(t, store.Region{Entity: e}.Validate())
		}
		require.NoError(t, store.Region{Scope: scopeOf(drawName(t))}.Validate())
		require.Equal(t, 1, strings.Count(fileEntity(a), ":"), "a path is one level of an entity")
	})
}

func TestDifferentNamesMakeDifferentEntities(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := drawName(t), drawName(t), drawName(t)
		x, y, z := escape(a), escape(b), escape(c)
		require.Equal(t, a == b, fileEntity(x) == fileEntity(y))
		require.Equal(t, a == b, pairEntity(x, z) == pairEntity(y, z))
		require.Equal(t, a == b, pairEntity(z, x) == pairEntity(z, y))
		require.Equal(t, a == c, pairEntity(x, y) == pairEntity(z, y))
	})
}

func TestALongNameIsCutBetweenCharacters(t *testing.T) {
	for n := range 4 {
		cut := shorten(strings.Repeat("x", n)+strings.Repeat("日", 300), 100)
		require.True(t, utf8.ValidString(cut))
		require.LessOrEqual(t, len(cut), 100)
	}
}

func TestACommitIsOneBatchWithItsFilesSorted(t *testing.T) {
	c := commit{
		hash: "h", author: "Ada", mail: "a@x", subject: "s", parents: 1, when: "now",
		changes: []change{{path: "z", added: 3, deleted: 1}, {path: "a:b", from: "c", added: 2}, {path: "png", binary: true}},
	}
	headers := map[string]string{"author": "Ada <a@x>"}
	require.Equal(t, []store.Batch{{
		IdempotencyKey: "git:repo:h:1",
		Events: []store.Proposal{
			{At: store.At("commit:h", "repo"), Headers: headers, Payload: Recorded{
				Hash: "h", Author: "Ada <a@x>", When: "now", Subject: "s", Parents: 1, Files: 3, Added: 5, Deleted: 1,
				Paths: []string{"a%3Ab", "png", "z"},
			}},
			{At: store.At("file:a%3Ab", "repo"), Headers: headers, Payload: Changed{Commit: "h", Path: "a%3Ab", From: "c", Added: 2}},
			{At: store.At("file:png", "repo"), Headers: headers, Payload: Changed{Commit: "h", Path: "png", Binary: true}},
			{At: store.At("file:z", "repo"), Headers: headers, Payload: Changed{Commit: "h", Path: "z", Added: 3, Deleted: 1}},
		},
	}}, c.batches("repo"))
}

func TestAHugeCommitIsSplitIntoBatchesWithKeysOfTheirOwn(t *testing.T) {
	c := commit{hash: "h"}
	for i := range eventsPerBatch + 5 {
		c.changes = append(c.changes, change{path: fmt.Sprintf("%s/%05d", strings.Repeat("\xff", 4000), i), added: 1})
	}
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	batches := c.batches("repo")
	for range 2 {
		for i, b := range batches {
			require.LessOrEqual(t, len(b.Events), eventsPerBatch)
			require.Equal(t, fmt.Sprintf("git:repo:h:%d", i+1), b.IdempotencyKey)
			_, err := appendNew(t.Context(), st, b)
			require.NoError(t, err)
		}
	}
	require.EqualValues(t, len(c.changes)+1, st.Head())
}

func TestACommitThatGitCountsDifferentlyTodayKeepsItsFirstNumbers(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	for _, c := range []struct {
		lines int
		added bool
	}{{1, true}, {1, false}, {2, false}} {
		batch := commit{hash: "h", changes: []change{{path: "p", added: c.lines}}}.batches("repo")[0]
		added, err := appendNew(t.Context(), st, batch)
		require.NoError(t, err)
		require.Equal(t, c.added, added)
	}
	require.EqualValues(t, 2, st.Head())
}

func TestACommitThatGitSplitsDifferentlyTodayKeepsItsFirstFiles(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	for _, files := range []int{10, eventsPerBatch + 10} { // today no renames are found
		c := commit{hash: "h"}
		for i := range files {
			c.changes = append(c.changes, change{path: fmt.Sprint(i), added: 1})
		}
		_, err := appendNew(t.Context(), st, c.batches("repo")...)
		require.NoError(t, err)
	}
	require.EqualValues(t, 11, st.Head())
}

func TestContributorsCreditsTheAuthorOfACommit(t *testing.T) {
	r := reactors("repo", 2)[0]
	got := reactortest.React(t, r, Recorded{Hash: "h", Author: "Ada", Added: 3, Deleted: 1, Paths: []string{"a"}, Files: 1})
	require.Equal(t, []reactor.Reaction{{
		At: store.At("author:Ada", "repo"), Payload: Credited{Author: "Ada", Commit: "h", Added: 3, Deleted: 1},
	}}, got)
}

func TestHotspotsFindsAFileAtTheThresholdAndNeverAgain(t *testing.T) {
	r := reactors("repo", 3)[1]
	var changes []store.Payload
	for i := range 10 {
		for _, path := range []string{"a", "b"}[:1+(i/8)] { // b changes twice
			changes = append(changes, reactortest.At(store.At(fileEntity(path), "repo"),
				Changed{Path: path, Commit: fmt.Sprint(i)}))
		}
	}
	require.Equal(t, []reactor.Reaction{{
		At: store.At("hotspot:a", "repo"), Payload: Hotspot{Path: "a", Changes: 3, Commit: "2"},
	}}, reactortest.React(t, r, changes...))
}

func TestPairsAreMadeOfEachTwoFilesOfASmallCommit(t *testing.T) {
	r := reactors("repo", 2)[2]
	got := reactortest.React(t, r, Recorded{Hash: "h", Files: 3, Paths: []string{"a", "b", "c"}})
	var pairs []Together
	for _, reaction := range got {
		pairs = append(pairs, reaction.Payload.(Together))
	}
	require.Equal(t, []Together{{"a", "b", "h"}, {"a", "c", "h"}, {"b", "c", "h"}}, pairs)

	var many []string
	for i := range maxTogether + 1 {
		many = append(many, fmt.Sprintf("%02d", i))
	}
	require.Len(t, reactortest.React(t, r, Recorded{Files: maxTogether, Paths: many[1:]}), maxTogether*(maxTogether-1)/2)
	require.Empty(t, reactortest.React(t, r, Recorded{Files: maxTogether + 1, Paths: many}))
	require.Empty(t, reactortest.React(t, r, Recorded{Files: 0}))
}

func TestAnObserverIsCalledBeforeTheBatchIsCommitted(t *testing.T) {
	st, err := storetest.Open(store.Options{})
	require.NoError(t, err)
	defer st.Close()
	_, err = appendNew(t.Context(), st, commit{hash: "h"}.batches("repo")[0])
	require.NoError(t, err)
	var heard []store.Position
	r := observed{Reactor: reactors("repo", 2)[0], handled: func(int) { heard = append(heard, st.Head()) }}
	require.NoError(t, step(t.Context(), st, r))
	require.Equal(t, []store.Position{1}, heard)
	require.EqualValues(t, 2, st.Head())
}

func step(ctx context.Context, st *store.Store, source cursor.Source) error {
	w, err := source.CursorWorker()
	if err != nil {
		return err
	}
	runner, err := cursor.NewRunner(ctx, st, w)
	if err != nil {
		return err
	}
	_, err = runner.Step(ctx, 0, 0)
	return err
}
