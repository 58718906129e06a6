package delivery

import (
	"context"
	"database/sql"
	"errors"
	"os"

	wsql "github.com/ThreeDotsLabs/watermill-sql/v4/pkg/sql"
	_ "modernc.org/sqlite" // the driver
)

// schema lets Watermill's SQL publisher and subscriber use SQLite: its MySQL schema, whose queries
// SQLite understands, with tables in SQLite's words.
type schema struct{ wsql.DefaultMySQLSchema }

// newSchema reads batches of a size; 0 is for those that do not read.
func newSchema(batch int) schema {
	return schema{wsql.DefaultMySQLSchema{SubscribeBatchSize: batch}}
}

func (s schema) SchemaInitializingQueries(p wsql.SchemaInitializingQueriesParams) ([]wsql.Query, error) {
	return []wsql.Query{{Query: "CREATE TABLE IF NOT EXISTS " + s.MessagesTable(p.Topic) + " (" +
		"`offset` INTEGER PRIMARY KEY AUTOINCREMENT, `uuid` TEXT NOT NULL, `payload` BLOB, `metadata` BLOB)"}}, nil
}

// SubscribeIsolationLevel is that of SQLite, which has only one.
func (schema) SubscribeIsolationLevel() sql.IsolationLevel { return sql.LevelDefault }

// offsets keeps one row per consumer group and topic: how far it has come. A transaction has the
// database to itself, so nothing has to be locked or noted per message.
type offsets struct{}

func (offsets) table(topic string) string { return "`watermill_offsets_" + topic + "`" }

func (o offsets) SchemaInitializingQueries(p wsql.OffsetsSchemaInitializingQueriesParams) ([]wsql.Query, error) {
	return []wsql.Query{{Query: "CREATE TABLE IF NOT EXISTS " + o.table(p.Topic) +
		" (consumer_group TEXT PRIMARY KEY, offset_acked INTEGER NOT NULL)"}}, nil
}

func (o offsets) NextOffsetQuery(p wsql.NextOffsetQueryParams) (wsql.Query, error) {
	return wsql.Query{
		Query: "SELECT COALESCE((SELECT offset_acked FROM " + o.table(p.Topic) + " WHERE consumer_group = ?), 0)",
		Args:  []any{p.ConsumerGroup},
	}, nil
}

func (o offsets) AckMessageQuery(p wsql.AckMessageQueryParams) (wsql.Query, error) {
	return wsql.Query{
		Query: "INSERT INTO " + o.table(p.Topic) + " (consumer_group, offset_acked) VALUES (?, ?)" +
			" ON CONFLICT (consumer_group) DO UPDATE SET offset_acked = excluded.offset_acked",
		Args: []any{p.ConsumerGroup, p.LastRow.Offset},
	}, nil
}

func (offsets) ConsumedMessageQuery(wsql.ConsumedMessageQueryParams) (wsql.Query, error) {
	return wsql.Query{}, nil
}

func (offsets) BeforeSubscribingQueries(wsql.BeforeSubscribingQueriesParams) ([]wsql.Query, error) {
	return nil, nil
}

// openTables opens the database in a directory and makes the tables that it lacks. Reactions of an
// earlier turn go.
func openTables(ctx context.Context, dir, synchronous string) (*sql.DB, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	db, err := openSQLite(dir, synchronous)
	if err != nil {
		return nil, err
	}
	s := newSchema(0)
	for _, topic := range []string{ordersTopic, stockTopic} {
		queries, _ := s.SchemaInitializingQueries(wsql.SchemaInitializingQueriesParams{Topic: topic})
		for _, q := range queries {
			if topic == stockTopic {
				_, err = db.ExecContext(ctx, "DROP TABLE IF EXISTS "+s.MessagesTable(topic))
			}
			if err == nil {
				_, err = db.ExecContext(ctx, q.Query)
			}
			if err != nil {
				return nil, errors.Join(err, db.Close())
			}
		}
	}
	return db, nil
}
