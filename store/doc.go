// Package store is a durable, embedded event log: one directory, one writer process, any number of
// readers.
//
// # Use
//
//	st, err := store.Open("data", store.Options{}) // a directory, made if need be; check err
//	r, err := st.Append(ctx, store.At("order:42", "shop"), store.Absent, Placed{SKU: "lamp"})
//	for e, err := range st.Read(ctx, store.Region{Entity: "order"}, store.Beginning()) {
//		fmt.Println(e.Position, e.Coordinate, e.Version, e.Kind)
//	}
//	err = st.Close()
//
// Placed is any type with a method Kind() string; it is encoded as JSON, or in its own [Codec], and
// [Event.Decode] reads it back. [Store.Commit] takes several events at once, [Absent] and [Exactly]
// refuse to write over what another writer committed since, [Store.Wait] waits until there are new
// events. [Store.Scan] is a faster Read for callers that keep nothing of an event. A [Gate] is a
// rule of the program that every event must pass.
//
// # The promise
//
// What was acknowledged is on disk, as far as the sync mode says. What a crash leaves is a prefix
// of the log: never a hole, never half a batch. A commit is a [Batch] of events, side values and
// conditions, all of it or nothing. Events have positions 1, 2, 3 and so on, and each entity counts
// its own from 1; neither ever changes. An idempotency key makes a commit happen once, however
// often it is tried. Readers see what is durable under the mode, up to [Store.Head].
//
//	SyncAlways    an acknowledged commit has survived a power cut
//	SyncInterval  it has survived the death of the process; a power cut takes at most the last
//	              interval
//	SyncNever     it has survived the death of the process; a power cut takes what the system had
//	              not written
//	Batch.Lazy    in SyncAlways, side values alone: as SyncInterval with 10 ms
//
// # Fences
//
// A [Fence] stages events over several commits and publishes them at once, or cancels them. Staged
// events have positions and are durable; the head waits before the first of them, while others
// continue to commit. What is cancelled, by a crash too, is hidden forever: its positions stay
// assigned, and every reader passes over them.
//
//	open ------> published     a commit each, alone in its group; the head moves after it
//	  |     \
//	  |      v
//	  |    ending              its deadline has passed: nothing is staged any more
//	  v      v
//	 cancelled                 also by Close and the death of the process, which write nothing: the
//	                           log says by which writer a fence is open, and that one is gone
//
// # One append
//
//	Append, Commit       the caller's goroutine validates, encodes and hashes, and asks the gates
//	     |
//	committer            queue; a caller that finds the role of the committer free takes it and
//	     |               commits for all that are queued:
//	  reserve            room in the active segment, or the next segment (made in the background)
//	  admit              key, versions, conditions, side revisions, in the order of the queue
//	  wal                those that are admitted become one batch: one write
//	     |
//	  sync               one fdatasync for the whole group, where the mode or a caller requires it
//	     |
//	  publish            side values, sequence, beacon, then the head: readers and waiters see the
//	     |               events, and a [Watcher] is told which
//	  answers            receipts and refusals alike leave only now
//
// Of side values the memory holds where they lie, in the order of their keys, and those of at most
// 64 bytes: all others are read from the disk as they are asked for, and opening reads none. A
// listing works on a copy of that tree, which is made only as it is written to, so it holds up no
// commit.
//
// The index of the active segment grows while the batch is built; readers look at it only up to the
// head. A failed write or sync ends the writer's life ([ErrPoisoned]): what the disk holds is
// unknown then, and only opening reads it again.
//
// # Lineage
//
// Events point at their cause and carry a correlation, and the indexes know which do: [Causes] goes
// up from an event, [Effects] down, [Correlated] over a whole story, and [History] over an entity,
// whose chain of hashes it checks. They are functions over a store and change nothing. Where the
// log does not have what an event points at they say so. [Lineage] makes of their answers a value
// that package lineage draws.
//
// # Verification
//
// [Verify] reads the whole log and compares all in it with all else. It does not stop at damage,
// and says of each what it costs: a footer nothing, as it is made again from the events, a record
// the event in it. [VerifyDir] does so for a directory that does not open. [Export] writes a log as
// lines of JSON, and [Import] makes the same log of them, with its hashes, in another directory.
// [Repair] makes a store, in another directory, of what is whole in a damaged one: what is lost has
// its positions still, which readers pass over and [LostRanges] names.
//
// # The directory
//
//	LOCK             locked while a writer is open, and the directory itself with it, where the
//	                 system can do that; the file stays
//	OWNER            which process that is, for people, see [OwnerOf]; removed by Close
//	STATUS           how far readers in other processes may read; overwritten after each group,
//	                 never synced
//	0000000001.seg   sealed: batches, index, side values, trailer
//	0000000001.idx   index of a sealed segment of version 1 in the present form, made by a writer
//	                 that looks into it; may be removed
//	0000000002.seg   active: batches, then zeros: written ahead of use in SyncAlways, reserved in
//	                 the other modes
//	0000000002.idx   index of the active segment, in runs of 16 MiB of it, and of the rest at a clean
//	                 close; removed when the segment is sealed. It may be removed while the store is
//	                 closed, unless the segment is damaged: Open reads all of it then, and refuses
//	0000000003.seg   made ahead while the active one is more than half full; removed by Close
//	0000000001.seg.new  a segment that is being rewritten, or imported; what a crash leaves of it,
//	                 Open removes, and segments that a rewritten one stands for
//	BACKUP           only where a log was copied to: what the directory is as a copy, see [Backup]
//	0000000001.seg.copy  only there: a segment that is no part of the copy yet
//
// Open finds the directory by its path, once; from then on the store stays in it, whatever happens
// to the path or to the working directory of the process. Files are made for their owner alone,
// unless Options.FileMode says more, and may not be symbolic links that lead out of the directory.
// A store of any number of segments takes some 140 descriptors at most, and one for each goroutine
// that is reading; where the process has none left, calls that need one get [ErrBusy].
//
// The format of segments is drawn in package store/internal/wal, that of the index and the side
// values at their ends in store/internal/index. OWNER is a JSON object {"pid", "program",
// "started", "admin"}; readers ignore other members. STATUS, the writer's beacon, is 96 bytes, its
// numbers little-endian:
//
//	 0   8  magic "PENSTAT1"
//	 8   4  CRC-32C of the bytes from 12 on
//	12   4  zero
//	16  16  store id
//	32  16  boot id of the machine, zero where the system has none
//	48   4  incarnation of the log
//	52   4  writer epoch
//	56   4  active segment
//	60   4  1 after a write or sync of that writer has failed, else 0
//	64   8  offset in the active segment up to which it is visible
//	72   8  the last position: the head, unless a fence is open
//	80   8  sequence of the next commit
//	88   8  zero
//
// # What the log keeps beside events
//
// What is not an event is a side value, in a batch like any other, so that a crash leaves it
// together with the events that it is about. Callers may write none with the first three prefixes:
//
//	emitter/ID        names of a worker and a build, in the commit of the first event with them
//	fence/POSITION    a fence from its first stage on: open, published, cancelled, or lost to
//	                  damage; deleted when all of it is visible
//	erasure/ID        which events are erased, until no file says any more what they said
//	hold/NAME         from which event on a reader needs them, see [SetHold]
//	checkpoint/, parked/, pass/, pause/, renamed/, needed/
//	                  what package checkpoint keeps there
//
// Where retention has dropped segments, the present ones of these and of all others lie in the file
// that took their place, and Restore and Import bring them along.
//
// # After a crash
//
// Every batch says which offset of its segment was known durable when it was written. Open reads
// the last segment, in pieces: whole, or after the last run beside it that the segment bears out. A
// bad batch below the highest such mark was durable once: that is damage, and Open refuses with the
// place ([CorruptError]). At or above it no caller was ever promised that the batch is durable, and
// the log ends before it. What lies after the last mark may be in memory only, so Open writes it
// again, erases the rest where it is not zero, and syncs before anything is visible. Of sealed
// segments it checks header, chaining and trailer; a footer that is missing is written, one that is
// damaged is rebuilt in memory when it is needed. Damage to the events of a sealed segment, or
// before the end of a run, is the error of the read that meets it. When acknowledged events are
// gone, or may be, a new incarnation begins, which tells people so and decides nothing (see
// [Origin]).
//
// Positions of commits that are gone are given to others; their sequences are not, as revisions of
// side values must not come again: the mark of the new writer leaps over them.
//
// A log that an older version of the format has written is continued in a new segment, and so opens
// for writing only where there is room for one. Programs that do not know the new version get
// [ErrNewerFormat] from then on.
//
// A read-only store applies the same rules and changes nothing. Beside a living writer it trusts
// the beacon in STATUS for how far it may look, and looks again at each call, and every 20 ms in
// [Store.Wait]. Without one it syncs what it found before it shows it: what the writer left may be
// in memory only, and a power cut must not take away what a reader has seen and passed on. Where it
// may not sync, and while a writer is opening, it shows what is known durable: not yet the last
// commits before the death of their writer.
//
// # Rewriting
//
// Side values that were superseded take room in sealed segments. One of which that is the greater
// part is rewritten beside the commits: a new file without them, with the events and keys as they
// were, takes the place of the former one, and its header says that it is of the next generation.
// What is left may be small; then neighbours become one file, with the number of the first, so that
// numbers have gaps. So the disk that endless checkpointing takes is bounded, and the number of
// files with it. Readers go on reading what they have open, and what they open again they notice to
// be rewritten, or gone. What keeps a segment from being rewritten is in Stats.Rewriting.
//
// # Erasing
//
// [Erase] removes what events say, and not the events: a commit says which, and readers see them as
// erased from then on; then the segments that have them are rewritten, and a second commit says
// that no file has it any more.
//
//	not begun ---> in the log ---> finished     a commit each; a crash in between leaves it to the
//	               readers see     no file      next opening for writing
//	               it as erased    has it
//
// The hash of an event covers a digest of its content that stays, so that chains continue, and that
// digest covers a random salt that goes: so it confirms no guess.
//
// # Retention
//
// [Retain] drops the oldest segments: a small file takes their place, which has what stays of their
// events. Several such files become one as they grow alike.
//
//	1.seg last 40 | 41.seg last 52 | 53.seg  54.seg  55.seg
//	version and last hash of each    events, from First on
//	entity, receipts of keys, side
//	values: as of 40, as of 52
//
// So positions, versions, chains, keys and side values go on as if nothing had been dropped, and
// what asks for an event before First is told: [ErrDropped]. What readers still need is held: by
// their checkpoints, and by a [Hold] for those that the store does not see.
//
// # Memory and cost
//
// What is kept in memory does not grow with events, entities and idempotency keys, and neither does
// what it costs to look for one of them:
//
//	growing index   of the active segment, and of the one that is being sealed
//	other indexes   in their files, mapped; a thousandth of them in memory. Those that are damaged
//	                are made in memory, maxIndexBytes of them at most
//	entities        the states of the maxEntities used last; the log has the others
//	side values     for each key where its value lies, and the value if it is small
//
// An entity or a key that is not in memory is looked for in the segments from the newest back. Each
// has a filter that says, from one line of memory, that it has no such thing, and is wrong for one
// in a hundred; then a row or two tell. Where filters or tables are damaged their checksums say so,
// and what they lead to is compared with the record. An index that is mapped takes no descriptor.
//
// # Copies
//
// [Backup] copies the log beside its writer into another directory, which is then a prefix of the
// log and opens as a store. The next one copies what has changed since, and a crash leaves the one
// before. [Ship] copies all the time, in small pieces, into a directory or an object store.
// [Restore] and [RestoreFrom] make a store of a copy that is of a new incarnation. What was kept
// outside of the store about events that a copy does not have is recognised by its [Anchor].
//
// Programs that know nothing of it may copy the directory, too:
//
//	cp -r, tar        beside the writer: a prefix of the log, or refused: then copy again. Without
//	                  the writer all of it
//	rsync             the same, over an older copy, too. It goes by sizes and times, and misses what
//	                  is written within a second of its last look: the next run copies that. With
//	                  --delete, or segments that became one stay beside it, which only takes room
//	a snapshot        of the file system or the disk: as after a power cut
//	hard links        never: segments are written in place
//
// OWNER, LOCK and STATUS may be left out. A copy that a program has made opens as the same
// incarnation, unless acknowledged events may be missing; where the former log is still in use, or
// may be again, make it with Restore.
//
// Each batch and each segment continues the one before by its checksum: that is why. Files that
// were copied while a writer was at work, in whatever order, also over an older or newer copy,
// make up a prefix of the log, or a [CorruptError] that names the segment: of Open, or, where a
// sealed segment was caught between two writes, of the read that meets it. A file that was
// rewritten says what it rests on: beside files that are older than that, it is a [CorruptError] of
// Open. So may be a copy that was made while segments were merged, some before and some after.
//
// # Time
//
// A store has one clock, [Store.Now], and all that is above it uses that: the times of events,
// waits, pauses, lag. It never goes back, moves with elapsed time, and follows a machine that
// slept. As ids and times grow with positions, an event that was written while the clock was wrong
// keeps all later ones after it: a log that holds an event of 2100 continues from there. So a
// running store does not believe a jump of more than ten years, and Stats.ClockAhead tells of one
// that is ahead.
//
// # What it must not know
//
// Cursors, checkpoints, handlers, retries, actors: which callers read, why, and with what result.
// How bytes of a payload are made: beside JSON it calls the [Codec] that the payload brings.
//
// # Goroutines
//
// The store owns none that stays. Commits are written by their callers. The writer starts short
// tasks, one at a time, that make the next segment, write a run or seal the last one, and beside
// them one that rewrites segments and waits for a sync like any caller; Close waits for them, and
// tells the last one to stop, and a [Retain] that is under way. Two timers, which Close stops: one,
// armed while there are bytes to sync that no caller waits for (lazy batches, SyncInterval),
// commits nothing and thereby syncs; the other, armed while commits wait, tells those that wait for
// long to look at their contexts.
//
// # Locks
//
//	Store.closing      Close, whole; taken before all others
//	Store.holding      a reader begins to need events, or files are replaced that no reader needs;
//	                   commits and I/O included. Its mutex is never held during I/O
//	  committer.mu     queue and role; never held during I/O
//	  follower.mu      a read-only store catches up with its writer, I/O included
//	    sideTable.mu   the tree of side values; their values are read without it
//	    emitterTable.mu  the map of emitters that commit here
//	    announcer.mu   the channel that waiters wait on
//	    watchers.mu    replacing the list of watchers
//	    erasing.mu     the list of erasures
//	    openFences.mu  the open fences, and what is staged in each
//	Store.taskMu       a background task, whole; commits do not take it, but wait for the file that a
//	                   task makes
//	Store.renewing     a segment that was rewritten is opened again, I/O included; taken under
//	                   follower.mu, too
//	indexCache.mu      opening, making and dropping of indexes, I/O included
//	  index.Active.mu  a growing index: maps and slice headers
//	  fileCache.mu     opening and closing of files of segments; taken under follower.mu, too
//	  mappingCache.mu  the list of mapped segments
//	    clock.mu       a reading of the clock, Options.Clock included
//
// One further in may be taken under one further out and never the other way round; those on the
// same level never meet, but that renewing is taken before indexCache.mu and sideTable.mu. What
// only the committer touches has no lock: the role is its lock. What readers and the writer share
// without a lock is argued at the fields of Store and segment.
package store
