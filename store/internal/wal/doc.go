// Package wal is the format of the log: how events, side values and idempotency keys become bytes
// of a segment file, and what of these bytes is to be believed after a crash. It works on byte
// slices, and reads a segment as a whole through an [io.ReaderAt], in pieces.
//
// # A segment file
//
//	0        128                                                                 capacity
//	+--------+---------+---------+-- -- --+---------+------------------------------+
//	| header | batch 1 | batch 2 |        | batch n | zeros, filled ahead of use   |
//	+--------+---------+---------+-- -- --+---------+------------------------------+
//
// and once it is sealed, cut to size:
//
//	+--------+---------+-- -- --+---------+-------+-------+---------+
//	| header | batch 1 |        | batch n | index | sides | trailer |
//	+--------+---------+-- -- --+---------+-------+-------+---------+
//
// All numbers are little-endian, all checksums CRC-32C. A batch is what one turn of the committer
// wrote: one or more commits, each a run of records whose last carries the flag "last of commit".
// Batches start at multiples of 8 and never span segments. The header is written together with the
// first batch of its segment. Index and sides are derived from the batches and can be rebuilt from
// them.
//
// This is version 2; a segment whose events were dropped, and no other, is of version 3. Version 1
// will always be read, and is never written: a writer continues a log
// of version 1 in a new segment. What is different in it is said in each place, and where nothing
// is said the two are the same. A trailer has a version of its own, since a newer program may seal
// what an older one wrote.
//
// # Header of a segment (128 bytes)
//
//	 0   8  magic "PENSTOCK"
//	 8   2  format version, 2 or 3
//	10   2  zero; in version 3 flags: 1 its events were dropped
//	12   4  checksum of the 128 bytes without this field
//	16  16  store id
//	32   4  segment number, from 1
//	36   4  incarnation of the log
//	40   8  position that the first event in it has
//	48   8  sequence that the first commit in it has
//	56   8  hybrid time of the last event before it
//	64   4  checksum of the last batch before it
//	68   4  generation: 0 as first written, one more each time the file is rewritten; where several
//	        become one, one more than theirs together
//	72   4  number of the last segment that the file stands for: its own, where none were merged
//	76   4  checksum of the last batch as first written, where the file was rewritten, else 0; where
//	        it stands for several segments, that of the last of them
//	80   8  sequence that the log had reached when the file was rewritten, else 0
//	88   4  number of times that any segment was rewritten, up to this one, else 0
//	92  16  id of the last event that was dropped, else zero
//	108  8  hybrid time of the last event up to its end where its events were dropped, else 0
//	116 12  zero
//
// In version 1 the bytes from 68 on are zero.
//
// # Batch (header of 64 bytes, then records, then zeros up to a multiple of 8)
//
//	 0   4  magic "PBAT"
//	 4   4  length of the batch, header and padding included
//	 8   4  checksum of the batch without this field, begun with the checksum of the store id
//	12   4  checksum of the batch before it
//	16   4  segment number
//	20   4  writer epoch: one more at every opening
//	24   4  incarnation of the log
//	28   4  offset in this segment known durable when it was written
//	32   8  sequence of its first commit
//	40   8  position of its first event
//	48   4  number of events
//	52   4  number of commits
//	56   2  flags: 1 written in a mode that acknowledges before the sync, 2 opening mark,
//	        4 closing mark, 8 rewritten or imported, 16 its events were dropped
//	58   2  zero
//	60   4  its own offset in the segment
//
// Sequences go on from batch to batch, but for an opening mark: its first sequence may be higher
// than the one that would be next. Sequences in between may have been those of commits that a crash
// took, and are not used again. Version 1 has no such leap.
//
// # A segment that was rewritten
//
// A sealed segment may be replaced by one without the side values that later ones superseded. Its
// events, keys and the side values that are left are the same records in the same order; batches
// are larger, and have flag 8. They count the commits that there were: of some the last record may
// be gone, of others all. So positions and sequences are what they were. What links a segment to
// its neighbours stays, too: the checksum of the last batch before it, and in its trailer the one
// of its own last batch, are those of the files as first written.
//
// Segments that follow each other may become one in the same way. It has the number, the name and
// the beginning of the first, and the end of the last, whose number is in the header. A file whose
// number lies between the two counts no more, whatever is in it: a crash left it.
//
//	4.seg | 5.seg | 6.seg | 7.seg          generations 1, 0, 2, 0
//	4.seg, last 6         | 7.seg          generations 4, 0; 5.seg and 6.seg may be there still
//
// The mark of a writer of which nothing else is left goes: the one of the next leaps over its
// sequences.
//
// A log that was imported has batches with flag 8, too, and no commits: they are before the
// sequence that it begins with.
//
// Files of one log may have been copied at different times. What is gone was superseded by commits
// up to the sequence in the header, so the log must reach it. And each time a segment is rewritten
// its generation and the number of all times grow by one: so the generations of all segments add up
// to the highest such number in a header, unless the file of a segment is older than that of
// another one which was rewritten on the strength of it. That holds of merged ones, too, as their
// generations are in the sum; and where one of them is missing beside a file that does not stand
// for it, so is a number.
//
// # A segment whose events were dropped
//
// Retention replaces the oldest segments by one that stands for them, as above, and has none of
// their events, but what stays of them. All its batches have flags 8 and 16. The first ones have no
// record: they pass over the positions, and over the sequences as an opening mark does. The others
// have side values, then states by the order of their entities, then receipts by that of their
// keys; they count no events and no commits. It is version 3, as a program that knows only version
// 2 would miss what these records say. Only other such segments are before it.
//
//	1.seg last 3, dropped | 4.seg | 5.seg        generations 1, 0, 0
//	1.seg last 4, dropped         | 5.seg        2, 0
//
// # Record (header of 10 bytes)
//
//	0   4  length of the record
//	4   4  checksum of the bytes from 8 on
//	8   1  type: 1 event, 2 side value, 3 side value deleted, 4 idempotency key, 5 erased event,
//	       6 state of an entity, 7 receipt
//	9   1  flags: 1 last of its commit
//
// Event, the part filled in by the committer:
//
//	10   2  flags: 1 has a cause, 2 has a correlation other than its own id
//	12   4  causal depth
//	16   8  position
//	24   8  version
//	32   8  hybrid time
//	40  16  id
//	56  32  hash: SHA-256 of the entity's previous hash, the content digest, position, version,
//	        time, id, the bytes 10 to 16, and all after the salt; the content digest is that
//	        of the bytes from 88 to there, with the length of the extensions taken as 0
//
// and the part sealed by the caller, which the content digest covers:
//
//	88   2  schema version     90   2  entity length      92   2  scope length
//	94   2  kind length        96   2  codec length       98   2  flags: 1 salted
//	100  4  headers length    104   4  extensions length 108   4  payload length
//	112     entity, scope, kind, codec, headers, payload, salt (16 bytes, when flagged), then
//	        cause, correlation (16 bytes each, when flagged), extensions
//
// The salt is random. It goes when the payload goes: without it a digest that is kept would tell
// those who guess what a short payload said that they are right. The plain digest of an event,
// which is never stored, is the content digest without the salt, and with the flags at 98 taken as
// 0. Events of version 1 have no salt, so that the two digests are the same.
//
// An erased event has the same place and names, and neither headers, payload nor salt:
//
//	112     entity, scope, kind, codec, content digest (32 bytes), note, then cause, correlation,
//	        extensions as they were
//
// The headers length is 0, the payload length is that of the note: pairs, as of headers, that say
// when it was erased, by whom and why. With the digest the chain of its entity can be verified.
// There are none in version 1.
//
// Headers are pairs of (length as uvarint, bytes) for name and value, sorted by name. What says
// nothing of the content is no header but an extension, tag 2.
//
// # Extensions of an event
//
// A sequence of (tag as uvarint, length as uvarint, bytes). Tags that a program does not know are
// kept, and covered by checksum and hash like the others.
//
//	+-----+--------+---------------------+-----+--------+- - - -+
//	| tag | length | bytes               | tag | length | bytes |
//	+-----+--------+---------------------+-----+--------+- - - -+
//
// Tag 1 says who wrote a reaction; the first one counts, and bytes after the attempt are ignored:
//
//	+---+----+----------------------+-----------------+-------------------+
//	| 1 | 10 | id of the emitter, 8 | epoch (uvarint) | attempt (uvarint) |
//	+---+----+----------------------+-----------------+-------------------+
//
// Tag 2 is what the writer noted beside the event, as pairs like those of headers; the first one
// counts:
//
//	+---+--------+------------------------------+
//	| 2 | length | pairs of name and value      |
//	+---+--------+------------------------------+
//
// The names that an id stands for are the value of the side key "emitter/" and the id in
// hexadecimal: a pair, as of headers, of worker and build. The id is the first 8 bytes of the
// SHA-256 of that value. The value is in an earlier commit than the first event that has the id, or
// in the same one.
//
// # Other records
//
// Side value, or its deletion, which has no value:
//
//	10   2  key length
//	12   4  value length
//	16   8  revision: the sequence of its commit
//	24      key, value
//
// Idempotency key:
//
//	10   2  key length
//	12   3  number of events of the commit
//	15   1  rule of the digest, and flags: 64 erased, 128 salted
//	16   8  position of its first event
//	24   8  sequence of the commit
//	32  32  digest of the commit: SHA-256 of the digests of its events, which are
//	        rule 0: their plain digests
//	        rule 1: the same, but with the schema version taken as 0
//	64      key, salt (16 bytes, when flagged)
//
// With a salt, what is stored is the SHA-256 of salt and digest. The digest of an erased key is
// that of no commit. Keys of version 1 have neither flag.
//
// State of an entity, as of its last event that was dropped, which no cancelled fence hides:
//
//	10   2  length of the entity
//	12   4  zero
//	16   8  position of the event
//	24   8  version
//	32   8  hybrid time
//	40  32  hash
//	72      entity
//
// Receipt of a commit with an idempotency key, whose events were dropped:
//
//	10      as in the record of the key, then
//	    8   hybrid time of its last event, cut to milliseconds
//	        for each event: id (16), version (8)
//
// A repeated commit is compared by the rule of the key that is stored. Without schema versions both
// are the same, and rule 0 is written: so a digest of rule 0 that is that of a repeated commit by
// rule 1 is of such events.
//
// # Trailer of a sealed segment (128 bytes)
//
//	 0   8  magic "PENDSEA2"; in version 1 "PENDSEAL"
//	 8   4  checksum of the bytes from 12 on
//	12   4  zero
//	16   8  offset where the batches end and the index begins
//	24   8  position that the first event after it has
//	32   8  sequence that the first commit after it has
//	40   8  hybrid time of the last event up to here
//	48   4  checksum of the last batch
//	52   4  writer epoch of the last batch
//	56   4  length of the index
//	60   4  checksum of the head of the index, which begins with it; in version 1 of all of the index
//	64   4  length of the side values
//	68   4  checksum of the side values
//	72   4  1 if the last batch was written in a mode that acknowledges before the sync, else 0
//	76   4  incarnation of the log when the last batch was written
//	80   4  generation, that of the header; in version 1 zero
//	84   8  bytes of the records of side values, and of the batches that have nothing else; in
//	        version 1 zero
//	92  36  zero
//
// It counts only where it ends the file and the lengths add up to the size of the file. Index and
// side values are drawn in package index.
//
// # What survives a crash
//
// Let D be the highest "known durable" mark in any valid batch of the last segment, also in batches
// after a bad one: a power cut may keep batch k+1 and lose batch k. A bad batch below D is damage
// and opens nothing. At or above D the log ends there, and what follows was never acknowledged as
// durable. See [Pieces.Rest].
//
// # What it must not know
//
// Files, locks, goroutines, who commits and why, how events are found again.
package wal
