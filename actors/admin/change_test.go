package admin_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/penstock-io/penstock/actors"
	"github.com/penstock-io/penstock/actors/admin"
	"github.com/penstock-io/penstock/store"
)

var because = admin.Act{Reason: "a test", By: "ann"}

// refused requires that a change is refused where it is made beside a writer, and returns whether
// it was.
func refused(t *testing.T, mode admin.Mode, err error) bool {
	t.Helper()
	if mode != admin.Beside {
		require.NoError(t, err)
		return false
	}
	require.Equal(t, admin.Refused, admin.CodeOf(err), "%v", err)
	return true
}

func TestAChangeTellsWhatItTouchesIsDoneAndCanBeTakenBack(t *testing.T) {
	modes(t, func(t *testing.T, mode admin.Mode, s *admin.Surface) {
		before, err := s.Status(t.Context())
		require.NoError(t, err)
		rewind := admin.Change{Move: admin.Rewind, To: "0"}
		would, err := s.Change(t.Context(), admin.ChangeRequest{Worker: "bill", Change: rewind, Act: admin.Act{DryRun: true}})
		require.NoError(t, err, "a dry run needs no reason, and is possible everywhere")
		require.True(t, would.DryRun)
		require.Equal(t, 1, would.Again)
		require.Equal(t, 1, would.New, "the one that is parked")
		require.Len(t, would.Parked, 1)
		after, err := s.Status(t.Context())
		require.NoError(t, err)
		require.Equal(t, before.Workers[0].Epoch, after.Workers[0].Epoch)
		require.Equal(t, before.Head, after.Head, "nothing was written")

		did, err := s.Change(t.Context(), admin.ChangeRequest{Worker: "bill", Change: rewind, Act: because})
		if refused(t, mode, err) {
			return
		}
		require.GreaterOrEqual(t, did.From, would.From) // its checkpoint may have passed its own audit event
		would.DryRun, would.From, would.Text, did.From, did.Text = false, 0, "", 0, ""
		require.Equal(t, would, did)
		audits := all(t, s.Audit(t.Context(), admin.AuditQuery{Worker: "bill"}))
		i := 0
		for audits[i].What != "rewound" {
			i++
		}
		require.Equal(t, "ann", audits[i].By)
		require.Equal(t, "a test", audits[i].Reason)
		require.Equal(t, "worker:bill", audits[i].Of)

		head, err := s.View(t.Context())
		require.NoError(t, err)
		if mode == admin.Cold { // a running one handles it again by itself
			to := admin.Change{Move: admin.SkipTo, To: "2"}
			skipped, err := s.Change(t.Context(), admin.ChangeRequest{Worker: "bill", Change: to, Act: because})
			require.NoError(t, err)
			require.Equal(t, 1, skipped.Skipped, "the other one was handled before")
			require.GreaterOrEqual(t, head.AsOf, store.Position(5))
		}
	})
}

func TestAChangeThatMakesNoSenseIsNotMade(t *testing.T) {
	modes(t, func(t *testing.T, mode admin.Mode, s *admin.Surface) {
		for name, c := range map[string]struct {
			q    admin.ChangeRequest
			code admin.Code
		}{
			"no reason":   {admin.ChangeRequest{Worker: "bill", Change: admin.Change{Move: admin.Reset}}, admin.Usage},
			"no place":    {admin.ChangeRequest{Worker: "bill", Change: admin.Change{Move: admin.Rewind}, Act: because}, admin.Usage},
			"no change":   {admin.ChangeRequest{Worker: "bill", Change: admin.Change{Move: "jump"}, Act: because}, admin.Usage},
			"no worker":   {admin.ChangeRequest{Worker: "tyop", Change: admin.Change{Move: admin.Reset}, Act: because}, admin.NotFound},
			"bad by":      {admin.ChangeRequest{Worker: "bill", Change: admin.Change{Move: admin.Reset}, Act: admin.Act{Reason: "x", By: "a\nb"}}, admin.Usage},
			"not forward": {admin.ChangeRequest{Worker: "bill", Change: admin.Change{Move: admin.SkipTo, To: "1"}, Act: because}, admin.Refused},
			"ahead":       {admin.ChangeRequest{Worker: "bill", Change: admin.Change{Move: admin.SkipTo, To: "999"}, Act: because}, admin.Refused},
		} {
			_, err := s.Change(t.Context(), c.q)
			require.Equal(t, c.code, admin.CodeOf(err), "%s: %v", name, err)
		}
	})
}

func TestNamesAreCompleted(t *testing.T) {
	modes(t, func(t *testing.T, _ admin.Mode, s *admin.Surface) {
		for field, want := range map[admin.NameField]string{
			admin.Workers: "bill", admin.Entities: "order", admin.Kinds: "order.billed", admin.Scopes: "shop", admin.Categories: "order",
		} {
			found, err := s.Names(t.Context(), admin.NameQuery{Field: field, Prefix: want[:2]})
			require.NoError(t, err)
			require.Equal(t, want, found.Names[0].Text)
		}
		_, err := s.Names(t.Context(), admin.NameQuery{Field: "colour"})
		require.Equal(t, admin.Usage, admin.CodeOf(err))
		more, err := s.Names(t.Context(), admin.NameQuery{Field: admin.Kinds, Limit: 1})
		require.NoError(t, err)
		require.True(t, more.More)
	})
}

func TestTheLogIsDescribed(t *testing.T) {
	modes(t, func(t *testing.T, mode admin.Mode, s *admin.Surface) {
		l, err := s.Log(t.Context())
		require.NoError(t, err)
		require.Equal(t, mode, l.View.Mode)
		require.NotEqual(t, uuid.Nil, l.Store)
		require.Equal(t, 1, l.Segments)
		require.Positive(t, l.LogBytes)
		require.Equal(t, "bill", l.Holds[0].Who, "it has an event parked")
		require.Equal(t, mode == admin.Live, l.Written != nil)
		if l.Written != nil {
			require.Positive(t, l.Written.Syncs.Count)
		}
	})
}

func TestUpkeepOfALog(t *testing.T) {
	modes(t, func(t *testing.T, mode admin.Mode, s *admin.Surface) {
		given := admin.Append{Act: because, Entity: "order:9", Scope: "shop", Kind: "order.placed", JSON: []byte(`{"card":"1"}`), Key: "once"}
		bad := given
		bad.JSON = []byte(`{`)
		_, err := s.Append(t.Context(), bad)
		require.Equal(t, admin.Usage, admin.CodeOf(err), "%v", err)
		dry := given
		dry.Act.DryRun = true
		none, err := s.Append(t.Context(), dry)
		require.NoError(t, err)
		require.Zero(t, none)
		first, err := s.Append(t.Context(), given)
		if refused(t, mode, err) {
			return
		}
		again, err := s.Append(t.Context(), given)
		require.NoError(t, err)
		require.Equal(t, first, again)
		e, err := s.Event(t.Context(), first.ID.String())
		require.NoError(t, err)
		require.Equal(t, "ann", e.Meta["operator"])

		kept, err := s.Retain(t.Context(), admin.Retain{Act: because, MaxAge: admin.Duration(time.Hour)})
		require.NoError(t, err)
		require.Zero(t, kept.Events)

		would, err := s.Erase(t.Context(), admin.Erase{Act: admin.Act{Reason: "asked", By: "ann", DryRun: true}, Entity: "order:9"})
		require.NoError(t, err)
		require.Contains(t, would.Events, first.Position)
		did, err := s.Erase(t.Context(), admin.Erase{Act: because, Entity: "order:9"})
		require.NoError(t, err)
		require.Contains(t, did.Events, first.Position)
		e, err = s.Event(t.Context(), first.ID.String())
		require.NoError(t, err)
		require.Equal(t, "ann", e.Erased.By)
		require.Empty(t, e.JSON)
	})
}

func TestTransitionsAreWatched(t *testing.T) {
	modes(t, func(t *testing.T, mode admin.Mode, s *admin.Surface) {
		for transition, err := range s.Watch(t.Context(), admin.WatchQuery{}) {
			if mode != admin.Live {
				require.Equal(t, admin.Refused, admin.CodeOf(err), "%v", err)
				return
			}
			require.NoError(t, err)
			if transition.Reason != nil {
				require.Contains(t, transition.Reason.Text, errCard.Error())
				require.Equal(t, store.Position(2), transition.Reason.Event)
				return
			}
		}
	})
}

func TestParkedEventsAreReplayedAndDiscarded(t *testing.T) {
	modes(t, func(t *testing.T, mode admin.Mode, s *admin.Surface) {
		all := admin.ParkedRequest{Worker: "bill", Selection: admin.Selection{Error: "card"}, Act: because}
		for _, wrong := range []admin.Selection{{}, {At: 99}, {All: true, Key: "x"}} {
			q := all
			q.Selection = wrong
			q.Act.DryRun = true
			_, err := s.Discard(t.Context(), q)
			require.Contains(t, []admin.Code{admin.Usage, admin.NotFound}, admin.CodeOf(err), "%v", err)
		}
		dry := all
		dry.Act.DryRun = true
		other := dry
		other.Selection.Error = "no such text"
		none, err := s.Discard(t.Context(), other)
		require.NoError(t, err)
		require.Empty(t, none)
		would, err := s.Discard(t.Context(), dry)
		require.NoError(t, err)
		require.Len(t, would, 1)
		again, err := s.Replay(t.Context(), all)
		if refused(t, mode, err) {
			return
		}
		require.Equal(t, would[0].Position, again[0].Position)
		if mode == admin.Live {
			require.Eventually(t, func() bool { // it fails once more
				list, err := s.Discard(t.Context(), dry)
				return err == nil && len(list) == 1 && !list[0].Replaying
			}, 10*time.Second, time.Millisecond)
		}
		gone, err := s.Discard(t.Context(), all)
		require.NoError(t, err)
		require.Len(t, gone, 1)
		status, err := s.Status(t.Context())
		require.NoError(t, err)
		require.Zero(t, status.Workers[0].Parked)
		require.True(t, status.Workers[0].Healthy())
	})
}

func TestAWorkerThatDoesNotRunIsPausedAndResumed(t *testing.T) {
	s := sold(t)
	s.end()
	surface := surfaceOf(t, s.dir)
	require.NoError(t, surface.Pause(t.Context(), admin.PauseRequest{Worker: "bill", Act: because}))
	again := opened(t, s.dir)
	require.Eventually(t, func() bool { return again.sys.Status().Workers[0].State == actors.Paused }, 10*time.Second, time.Millisecond)
	again.end()
	require.NoError(t, surface.Resume(t.Context(), admin.ResumeRequest{Worker: "bill", Act: because}))
	status, err := surface.Status(t.Context())
	require.NoError(t, err)
	require.Nil(t, status.Workers[0].Pause)
}
