package delivery

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	"github.com/ThreeDotsLabs/watermill/message"
)

// Chain is a router of Watermill over SQLite whose handlers pass each message on, from topic to
// topic: each publishes in the transaction that notes how far it has come.
type Chain struct {
	db      *sql.DB
	first   string // topic
	router  *message.Router
	stopped chan error

	mu   sync.Mutex
	last []string // what the last handler has handled in its present transaction
}

// OpenChain starts so many handlers. act is called for each message by each of them, with its
// number, ended with each message after the commit of the last one.
func OpenChain(ctx context.Context, dir string, handlers int, act func(handler int), ended func(payload string)) (*Chain, error) {
	db, err := openSQLite(dir, "FULL")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // else writers sleep until they find the database free
	c := &Chain{db: db, first: chainTopic(0), stopped: make(chan error, 1)}
	if err := c.tables(ctx, handlers); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	c.router, err = message.NewRouter(message.RouterConfig{}, watermill.NopLogger{})
	for k := 0; k < handlers && err == nil; k++ {
		err = c.add(k, k == handlers-1, act, ended)
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go func() { c.stopped <- c.router.Run(ctx) }()
	<-c.router.Running()
	return c, nil
}

func chainTopic(k int) string { return fmt.Sprintf("chain%d", k) }

func (c *Chain) tables(ctx context.Context, handlers int) error {
	s := newSchema(0)
	for k := range handlers + 1 {
		queries, err := s.SchemaInitializingQueries(wsql.SchemaInitializingQueriesParams{Topic: chainTopic(k)})
		if err != nil {
			return err
		}
		for _, q := range queries {
			if _, err := c.db.ExecContext(ctx, q.Query); err != nil {
				return err
			}
		}
	}
	return nil
}

// add adds the handler of a topic.
func (c *Chain) add(k int, last bool, act func(handler int), ended func(string)) error {
	committed := func(bool, error) {}
	if last {
		committed = func(_ bool, err error) {
			for _, payload := range c.taken() {
				if err == nil {
					ended(payload)
				}
			}
		}
	}
	sub, err := newSubscriber(c.db, "group", pageEvents, committed)
	if err != nil {
		return err
	}
	c.router.AddConsumerHandler(chainTopic(k), chainTopic(k), sub, func(m *message.Message) error {
		act(k)
		tx, ok := wsql.TxFromContext(m.Context())
		if !ok {
			return errors.New("no transaction in the context")
		}
		if last {
			c.mu.Lock()
			c.last = append(c.last, string(m.Payload))
			c.mu.Unlock()
		}
		return publishOn(tx, chainTopic(k+1), message.NewMessage(watermill.NewUUID(), m.Payload))
	})
	return nil
}

func (c *Chain) taken() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := c.last
	c.last = nil
	return last
}

// Start publishes a message for the first handler.
func (c *Chain) Start(payload string) error {
	return publishOn(wsql.BeginnerFromStdSQL(c.db), c.first, message.NewMessage(watermill.NewUUID(), []byte(payload)))
}

// Close stops the handlers and closes the database.
func (c *Chain) Close() error {
	return errors.Join(c.router.Close(), <-c.stopped, c.db.Close())
}
