package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"

	"github.com/penstock-io/penstock/bench/workload"
)

// Topics.
const (
	ordersTopic = "orders"
	stockTopic  = "stock"
)

// reserveHandler is the handler of a Watermill router.
func reserveHandler(m *message.Message) (*message.Message, error) {
	_, out, err := workload.ReactJSON(m.Payload)
	return message.NewMessage(watermill.NewUUID(), out), err
}

// WatermillMemory runs a router over Watermill's channels in memory: in order, one message in
// flight, since otherwise every message is handled by a goroutine of its own in any order. What a
// crash finds in memory is lost.
func WatermillMemory(events int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		pubsub := gochannel.NewGoChannel(gochannel.Config{
			OutputChannelBuffer: pageEvents, BlockPublishUntilSubscriberAck: true,
		}, watermill.NopLogger{})
		router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
		if err != nil {
			return nil, err
		}
		reactions, err := pubsub.Subscribe(ctx, stockTopic)
		if err != nil {
			return nil, err
		}
		go func() {
			for m := range reactions {
				m.Ack()
			}
		}()
		router.AddHandler("reserve", ordersTopic, pubsub, stockTopic, pubsub, func(m *message.Message) ([]*message.Message, error) {
			out, err := reserveHandler(m)
			return []*message.Message{out}, err
		})
		ended := make(chan error, 1)
		go func() { ended <- router.Run(ctx) }()
		<-router.Running()

		p := newProgress(events, t.Time)
		for err == nil && !p.over() {
			err = pubsub.Publish(ordersTopic, orderMessages(p.done, 1)...)
			p.done++
		}
		res := p.rate()
		return res, errors.Join(err, router.Close(), <-ended, pubsub.Close())
	}
}

func orderMessages(i, n int) []*message.Message {
	list := make([]*message.Message, n)
	for k := range list {
		list[k] = message.NewMessage(watermill.NewUUID(), workload.OrderJSON(i+k))
	}
	return list
}

// openSQLite opens a database whose commits are synced. Transactions take the lock to write when
// they begin: one that first reads and then writes, as the subscriber's do, would else fail when
// another has written meanwhile.
func openSQLite(dir string, synchronous string) (*sql.DB, error) {
	pragmas := []string{
		"journal_mode(WAL)", "synchronous(" + synchronous + ")", "busy_timeout(10000)", "cache_size(-65536)",
	}
	return sql.Open("sqlite", "file:"+filepath.Join(dir, "watermill.db")+"?_txlock=immediate&_pragma="+strings.Join(pragmas, "&_pragma="))
}

// newPublisher publishes to a database or within a transaction.
func newPublisher(db wsql.ContextExecutor) (*wsql.Publisher, error) {
	return wsql.NewPublisher(db, wsql.PublisherConfig{SchemaAdapter: newSchema(0)}, watermill.NopLogger{})
}

// polls is how often a subscriber with nothing to do looks for messages: about as fast as Go's
// timers can.
const polls = time.Millisecond

// newSubscriber reads batches in a transaction each, at whose end it notes how far it has come.
// committed hears of each transaction.
func newSubscriber(db *sql.DB, group string, size int, committed func(noMessages bool, err error)) (*wsql.Subscriber, error) {
	return wsql.NewSubscriber(wsql.BeginnerFromStdSQL(db), wsql.SubscriberConfig{
		ConsumerGroup: group, SchemaAdapter: newSchema(size), OffsetsAdapter: offsets{}, InitializeSchema: true,
		BackoffManager: backoff{committed}, AckDeadline: new(time.Duration),
	}, watermill.NopLogger{})
}

// backoff reports each transaction of a subscriber, after it was committed.
type backoff struct {
	committed func(noMessages bool, err error)
}

func (b backoff) HandleError(_ watermill.LoggerAdapter, noMessages bool, err error) time.Duration {
	b.committed(noMessages, err)
	if noMessages || err != nil {
		return polls
	}
	return 0
}

// PrepareWatermill fills a table with messages.
func PrepareWatermill(shelf string, events int, payload func(i int) []byte) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		dir, filled := t.Shelf(shelf)
		if filled {
			return nil, nil
		}
		db, err := openShelf(ctx, dir, "OFF")
		if err != nil {
			return nil, err
		}
		for i := 0; i < events && err == nil; i += workload.LoadBatch {
			list := make([]*message.Message, min(workload.LoadBatch, events-i))
			for k := range list {
				list[k] = message.NewMessage(watermill.NewUUID(), payload(i+k))
			}
			err = publishTo(wsql.BeginnerFromStdSQL(db), list...)
		}
		return nil, errors.Join(err, db.Close())
	}
}

func eventPayload(i int) []byte { return workload.Payload(i) }

func orderPayload(i int) []byte { return workload.OrderJSON(i) }

func publishTo(db wsql.ContextExecutor, list ...*message.Message) error {
	return publishOn(db, ordersTopic, list...)
}

func publishOn(db wsql.ContextExecutor, topic string, list ...*message.Message) error {
	p, err := newPublisher(db)
	if err != nil {
		return err
	}
	return p.Publish(topic, list...)
}

// WatermillCatchUp lets a subscriber handle a prepared table, its position kept per batch of 256.
func WatermillCatchUp(shelf string, events int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		dir, _ := t.Shelf(shelf)
		return subscribe(ctx, t, dir, events, pageEvents, loop, func(m *message.Message) error {
			if len(m.Payload) != workload.PayloadBytes {
				return fmt.Errorf("%d bytes", len(m.Payload))
			}
			return nil
		})
	}
}

// WatermillReactor runs a router over a prepared table of orders. The reaction is published in the
// transaction of the subscriber, which Watermill puts into the context of the message: one commit
// per batch.
func WatermillReactor(shelf string, events, size int) Run {
	return func(ctx context.Context, t Turn) (Result, error) {
		dir, _ := t.Shelf(shelf)
		return subscribe(ctx, t, dir, events, size, route, reserveInTx)
	}
}

func reserveInTx(m *message.Message) error {
	out, err := reserveHandler(m)
	if err != nil {
		return err
	}
	tx, ok := wsql.TxFromContext(m.Context())
	if !ok {
		return errors.New("no transaction in the context")
	}
	p, err := newPublisher(tx)
	if err != nil {
		return err
	}
	return p.Publish(stockTopic, out)
}

// runner lets a handler have the messages of the orders' topic until it is stopped.
type runner func(ctx context.Context, sub message.Subscriber, handle func(*message.Message) error) (stop func() error, err error)

// subscribe lets a handler have the messages in a directory, from the first to the last or as far
// as it comes.
func subscribe(ctx context.Context, t Turn, dir string, events, size int, run runner, handle func(*message.Message) error) (res Result, err error) {
	db, err := openShelf(ctx, dir, "FULL")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var handled, kept atomic.Int64
	var failed atomic.Pointer[error]
	first, all := make(chan struct{}), make(chan struct{})
	sub, err := newSubscriber(db, "group-"+fmt.Sprint(time.Now().UnixNano()), size, func(noMessages bool, err error) {
		if err != nil && ctx.Err() == nil {
			failed.CompareAndSwap(nil, &err)
		}
		if err != nil || noMessages {
			return
		}
		if kept.Swap(handled.Load()) < int64(events) && handled.Load() == int64(events) {
			close(all)
		}
	})
	if err != nil {
		return nil, err
	}
	stop, err := run(ctx, sub, func(m *message.Message) error {
		if handled.Load() == 0 {
			close(first)
		}
		err := handle(m)
		handled.Add(1)
		return err
	})
	if err != nil {
		return nil, err
	}
	<-first
	p := newProgress(events, t.Time)
	select {
	case <-all:
	case <-time.After(time.Until(p.ends)):
	}
	p.done = int(kept.Load())
	res = p.rate()
	if e := failed.Load(); e != nil {
		err = *e
	}
	return res, errors.Join(err, stop())
}

// route starts a router with one handler for orders.
func route(ctx context.Context, sub message.Subscriber, handle func(*message.Message) error) (stop func() error, err error) {
	router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	if err != nil {
		return nil, err
	}
	router.AddConsumerHandler("reserve", ordersTopic, sub, handle)
	ended := make(chan error, 1)
	go func() { ended <- router.Run(ctx) }()
	<-router.Running()
	return func() error { return errors.Join(router.Close(), <-ended) }, nil
}

// loop takes messages from the subscriber itself, without a router.
func loop(ctx context.Context, sub message.Subscriber, handle func(*message.Message) error) (stop func() error, err error) {
	messages, err := sub.Subscribe(ctx, ordersTopic)
	if err != nil {
		return nil, err
	}
	go func() {
		for m := range messages {
			if handle(m) != nil {
				m.Nack()
				continue
			}
			m.Ack()
		}
	}()
	return sub.Close, nil
}

// WatermillReaction takes the time from the start of a publication to the commit of the transaction
// that holds the reaction. The subscriber looks for messages every millisecond.
func WatermillReaction(ctx context.Context, t Turn) (res Result, err error) {
	db, err := openShelf(ctx, t.Dir, "FULL")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	reacted := make(chan error, 1)
	sub, err := newSubscriber(db, "group", pageEvents, func(noMessages bool, err error) {
		if ctx.Err() == nil && (err != nil || !noMessages) {
			reacted <- err
		}
	})
	if err != nil {
		return nil, err
	}
	stop, err := route(ctx, sub, reserveInTx)
	if err != nil {
		return nil, err
	}
	res, err = Idly(t, func(i int) (time.Duration, error) {
		list := orderMessages(i, 1)
		began := time.Now()
		if err := publishTo(wsql.BeginnerFromStdSQL(db), list...); err != nil {
			return 0, err
		}
		err := <-reacted
		return time.Since(began), err
	})
	return res, errors.Join(err, stop())
}

// openShelf opens a database that has the tables of all topics.
func openShelf(ctx context.Context, dir, synchronous string) (*sql.DB, error) {
	db, err := openTables(ctx, dir, synchronous)
	if err != nil {
		return nil, fmt.Errorf("sqlite: %w", err)
	}
	return db, nil
}

// WatermillIdle keeps handlers of a router that wait, each for a topic of its own in memory.
func WatermillIdle(workers int) Run {
	return func(ctx context.Context, _ Turn) (Result, error) {
		pubsub := gochannel.NewGoChannel(gochannel.Config{}, watermill.NopLogger{})
		watched := watchMemory(workers)
		router, err := message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
		if err != nil {
			return nil, err
		}
		for w := range workers {
			name := fmt.Sprintf("worker-%d", w)
			router.AddConsumerHandler(name, name, pubsub, func(*message.Message) error { return nil })
		}
		ended := make(chan error, 1)
		go func() { ended <- router.Run(ctx) }()
		<-router.Running()
		res := watched.result()
		return res, errors.Join(router.Close(), <-ended, pubsub.Close())
	}
}
