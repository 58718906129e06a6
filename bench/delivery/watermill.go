package delivery

import (
	"context"
	stdsql "database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	ordersTopic = "orders"
	stockTopic  = "stock"
	// pollInterval is how often the SQL subscriber looks when it found nothing; its default is a second.
	pollInterval = 10 * time.Millisecond
)

// channelReactor: Watermill's router over its in-process Pub/Sub.
func channelReactor() Contestant {
	return Contestant{Name: "watermill, in process", Promise: memory, Run: func(env Env) ([]float64, error) {
		log := watermill.NopLogger{}
		channel := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 4 * batchSize}, log)
		router, err := message.NewRouter(message.RouterConfig{}, log)
		if err != nil {
			return nil, err
		}
		router.AddHandler("reserve", ordersTopic, channel, stockTopic, channel, func(m *message.Message) ([]*message.Message, error) {
			out, err := answerJSON(m.Payload)
			return []*message.Message{message.NewMessage(watermill.NewShortUUID(), out)}, err
		})
		answers, err := channel.Subscribe(context.Background(), stockTopic)
		if err != nil {
			return nil, err
		}
		go func() { _ = router.Run(context.Background()) }()
		<-router.Running()
		began := time.Now()
		go func() {
			for i := range env.Events {
				_ = channel.Publish(ordersTopic, message.NewMessage(watermill.NewShortUUID(), orderJSON(i)))
			}
		}()
		for range env.Events {
			m := <-answers
			m.Ack()
		}
		took := time.Since(began)
		return []float64{perSecond(env.Events, took)}, errors.Join(router.Close(), channel.Close())
	}}
}

// messages and offsets are the tables of watermill-sql in SQLite. It has adapters for MySQL, whose statements SQLite mostly
// understands, and takes others.
type messages struct{ sql.DefaultMySQLSchema }

func (m messages) SchemaInitializingQueries(p sql.SchemaInitializingQueriesParams) ([]sql.Query, error) {
	return []sql.Query{{Query: "CREATE TABLE IF NOT EXISTS " + m.MessagesTable(p.Topic) + ` (
		"offset" INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL, created_at TEXT DEFAULT CURRENT_TIMESTAMP,
		payload BLOB, metadata BLOB)`}}, nil
}

func (messages) SubscribeIsolationLevel() stdsql.IsolationLevel { return stdsql.LevelDefault }

type offsets struct{ sql.DefaultMySQLOffsetsAdapter }

func (o offsets) NextOffsetQuery(p sql.NextOffsetQueryParams) (sql.Query, error) {
	return sql.Query{
		Query: "SELECT COALESCE((SELECT offset_acked FROM " + o.MessagesOffsetsTable(p.Topic) + " WHERE consumer_group=?), 0)",
		Args:  []any{p.ConsumerGroup},
	}, nil
}

func (o offsets) AckMessageQuery(p sql.AckMessageQueryParams) (sql.Query, error) {
	return sql.Query{
		Query: "INSERT OR REPLACE INTO " + o.MessagesOffsetsTable(p.Topic) + " (offset_consumed, offset_acked, consumer_group) VALUES (?, ?, ?)",
		Args:  []any{p.LastRow.Offset, p.LastRow.Offset, p.ConsumerGroup},
	}, nil
}

// ConsumedMessageQuery is for several subscribers of a group; there is one.
func (offsets) ConsumedMessageQuery(sql.ConsumedMessageQueryParams) (sql.Query, error) {
	return sql.Query{}, nil
}

// sqlBus is Watermill over SQLite.
type sqlBus struct {
	db         *stdsql.DB
	publisher  *sql.Publisher
	subscriber *sql.Subscriber
}

func openSQL(dir string) (*sqlBus, error) {
	db, err := stdsql.Open("sqlite", "file:"+filepath.ToSlash(filepath.Join(dir, "bus.db"))+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)&_pragma=cache_size(-65536)")
	if err != nil {
		return nil, err
	}
	b := &sqlBus{db: db}
	schema := messages{sql.DefaultMySQLSchema{SubscribeBatchSize: batchSize}}
	if b.publisher, err = publisherOf(sql.BeginnerFromStdSQL(db), true); err != nil {
		return nil, err
	}
	b.subscriber, err = sql.NewSubscriber(sql.BeginnerFromStdSQL(db), sql.SubscriberConfig{
		ConsumerGroup: "reserve", PollInterval: pollInterval, SchemaAdapter: schema, OffsetsAdapter: offsets{}, InitializeSchema: true,
	}, watermill.NopLogger{})
	return b, err
}

func publisherOf(db sql.ContextExecutor, create bool) (*sql.Publisher, error) {
	return sql.NewPublisher(db, sql.PublisherConfig{SchemaAdapter: messages{}, AutoInitializeSchema: create}, watermill.NopLogger{})
}

func (b *sqlBus) close() error {
	return errors.Join(b.subscriber.Close(), b.publisher.Close(), b.db.Close())
}

// load publishes orders, many at once.
func (b *sqlBus) load(from, events int) error {
	for i := from; i < from+events; {
		var batch []*message.Message
		for ; i < from+events && len(batch) < loadBatch; i++ {
			batch = append(batch, message.NewMessage(watermill.NewShortUUID(), orderJSON(i)))
		}
		if err := b.publisher.Publish(ordersTopic, batch...); err != nil {
			return err
		}
	}
	return nil
}

// react answers each order in the transaction that reads and acknowledges it, 256 of them in one: how Watermill does it
// exactly once.
func (b *sqlBus) react(ctx context.Context, events int, answer bool) error {
	orders, err := b.subscriber.Subscribe(ctx, ordersTopic)
	if err != nil {
		return err
	}
	for range events {
		m := <-orders
		if answer {
			if err := publishAnswer(m); err != nil {
				return err
			}
		}
		m.Ack()
	}
	return nil
}

func publishAnswer(m *message.Message) error {
	tx, ok := sql.TxFromContext(m.Context())
	if !ok {
		return errors.New("the message has no transaction")
	}
	out, err := answerJSON(m.Payload)
	if err != nil {
		return err
	}
	p, err := publisherOf(tx, false)
	if err != nil {
		return err
	}
	return p.Publish(stockTopic, message.NewMessage(watermill.NewShortUUID(), out))
}

// await returns when a count in the database has reached a number: when it is committed.
func (b *sqlBus) await(query string, n int) error {
	for got := -1; got < n; {
		if err := b.db.QueryRow(query).Scan(&got); err != nil {
			return err
		}
		if got < n {
			time.Sleep(200 * time.Microsecond)
		}
	}
	return nil
}

// sqlFraction makes the log of the SQL contestant shorter: it would take minutes.
const sqlFraction = 10

// sqlBacklog: a log that is there, handled by one subscriber, with an answer to each order or without.
func sqlBacklog(answer bool) Contestant {
	return Contestant{Name: "watermill, SQLite", Promise: "synced, exactly once in the database", Run: func(env Env) ([]float64, error) {
		b, err := openSQL(env.Dir)
		if err != nil {
			return nil, err
		}
		events := max(1, env.Events/sqlFraction)
		if err := b.prepare(); err != nil {
			return nil, err
		}
		if err := b.load(0, events); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		began := time.Now()
		err = b.react(ctx, events, answer)
		if err == nil {
			err = b.await("SELECT COALESCE(MAX(offset_acked), 0) FROM `watermill_offsets_orders`", events)
		}
		took := time.Since(began)
		return []float64{perSecond(events, took)}, errors.Join(err, b.close())
	}}
}

// prepare makes the tables of both topics.
func (b *sqlBus) prepare() error {
	queries, err := messages{}.SchemaInitializingQueries(sql.SchemaInitializingQueriesParams{Topic: stockTopic})
	if err != nil {
		return err
	}
	_, err = b.db.Exec(queries[0].Query)
	return errors.Join(err, b.subscriber.SubscribeInitialize(ordersTopic))
}

// sqlReaction: from the publish of an order until its answer is committed, on an idle system.
func sqlReaction() Contestant {
	promise := fmt.Sprintf("synced, exactly once in the database; polls every %v", pollInterval)
	return Contestant{Name: "watermill, SQLite", Promise: promise, Run: func(env Env) ([]float64, error) {
		b, err := openSQL(env.Dir)
		if err != nil {
			return nil, err
		}
		if err := b.prepare(); err != nil {
			return nil, err
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		n := min(samples(env), 200)
		reacted := make(chan error, 1)
		go func() { reacted <- b.react(ctx, n, true) }()
		var took []time.Duration
		for i := range n {
			time.Sleep(spacing())
			began := time.Now()
			err := b.load(i, 1)
			if err == nil {
				err = b.await("SELECT COUNT(*) FROM `watermill_stock`", i+1)
			}
			if err != nil {
				return nil, err
			}
			took = append(took, time.Since(began))
		}
		return latencies(took), errors.Join(<-reacted, b.close())
	}}
}
