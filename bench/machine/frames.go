package machine

import (
	"bufio"
	"errors"
	"io"
	"os"
)

// WriteFrames makes a file of n frames. fill makes the i-th record, of the given size.
func WriteFrames(name string, n, size int, fill func(rec []byte, i int)) (err error) {
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	w := bufio.NewWriterSize(file, 1<<20)
	rec := make([]byte, size)
	var buf []byte
	for i := range n {
		fill(rec, i)
		buf = AppendFrame(buf[:0], rec)
		if _, err := w.Write(buf); err != nil {
			return err
		}
	}
	return w.Flush()
}

// ReadFrames reads a file of frames in large pieces, checks each record and hands it to see: the
// limit of reading a log. It returns how many there are.
func ReadFrames(file *os.File, see func(rec []byte)) (frames int, err error) {
	buf := make([]byte, 1<<20)
	have, at := 0, int64(0)
	for {
		n, err := file.ReadAt(buf[have:], at)
		at += int64(n)
		have += n
		used, count, scanErr := scanFrames(buf[:have], see)
		frames += count
		if scanErr != nil {
			return frames, scanErr
		}
		have = copy(buf, buf[used:have])
		if errors.Is(err, io.EOF) {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
	}
}

func scanFrames(buf []byte, see func(rec []byte)) (used, frames int, err error) {
	for {
		rec, ok, err := Frame(buf[used:])
		if err != nil || !ok {
			return used, frames, err
		}
		see(rec)
		used += FrameBytes + len(rec)
		frames++
	}
}
