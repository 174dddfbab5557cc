package peer

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pusher/pusher-http-go/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

	"github.com/msgdelivery/delivery/internal/bench/lab"
	"github.com/msgdelivery/delivery/internal/integration/engines"
)

// River is the tutorial's update with a job of riverqueue/river in the same transaction; its
// workers tell Pusher.
var River = Peer{Name: "river", Kind: engines.Postgres, Prepare: prepareRiver, Open: openRiver, Pending: []string{"truncate river_job"}}

// riverWorkers is as many as there are callers at most, so that none has to wait for another's
// answer from Pusher.
const riverWorkers = 256

func prepareRiver(ctx context.Context, e Env) error {
	pool, err := pgxpool.New(ctx, e.DSN)
	if err != nil {
		return err
	}
	defer pool.Close()
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Logger: Quiet})
	if err != nil {
		return err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return err
	}
	return prepareTutorial(ctx, e)
}

type riverPeer struct {
	Fixture
	pool   *pgxpool.Pool
	client *river.Client[pgx.Tx]
}

func openRiver(ctx context.Context, e Env) (Marker, error) {
	config, err := pgxpool.ParseConfig(e.DSN)
	if err != nil {
		return nil, err
	}
	config.MaxConns, config.MinConns = lab.Connections, lab.Connections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	workers := river.NewWorkers()
	river.AddWorker(workers, &notifyWorker{pusher: newPusher(e.Stub.Addr())})
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Logger:  Quiet,
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: riverWorkers}},
		Workers: workers,
		// The defaults, 100 ms and 1 s, would make it look slower than it can be.
		FetchCooldown: 5 * time.Millisecond, FetchPollInterval: 100 * time.Millisecond,
	})
	if err == nil {
		err = client.Start(context.WithoutCancel(ctx))
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return &riverPeer{e.Fixture, pool, client}, nil
}

func (p *riverPeer) Mark(ctx context.Context, i int) error {
	m := p.Marked(i)
	return pgx.BeginFunc(ctx, p.pool, func(tx pgx.Tx) error {
		args := notifyArgs{Message: object{ID: m.N, Status: "Delivered"}, Socket: m.Socket}
		if err := tx.QueryRow(ctx, selectMessage, m.N).Scan(&args.Message.Name, &args.Message.Message); err != nil {
			return err
		}
		if args.Message.Name == m.User {
			return nil
		}
		if _, err := tx.Exec(ctx, updateMessage, m.N); err != nil {
			return err
		}
		_, err := p.client.InsertTx(ctx, tx, args, nil)
		return err
	})
}

func (p *riverPeer) Close() error {
	defer p.pool.Close()
	// There may be a long backlog that nobody waits for any more.
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := p.client.StopAndCancel(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil
	}
	return err
}

// notifyArgs is the job.
type notifyArgs struct {
	Message object `json:"message"`
	Socket  string `json:"socket"`
}

func (notifyArgs) Kind() string { return "notify" }

type notifyWorker struct {
	river.WorkerDefaults[notifyArgs]
	pusher *pusher.Client
}

func (w *notifyWorker) Work(_ context.Context, job *river.Job[notifyArgs]) error {
	return trigger(w.pusher, job.Args.Message, job.Args.Socket)
}
