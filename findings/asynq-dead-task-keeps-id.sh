#!/usr/bin/env bash
# An asynq task that failed for good keeps its id: the event cannot be enqueued again, and the error says "already there".
# Versions: github.com/hibiken/asynq v0.26.0, github.com/alicebob/miniredis/v2 v2.40.0 as the server on loopback.
# Expected: TaskID makes enqueueing idempotent, so "conflict" means that the task is queued or done, and a relay may settle
# its event; Unique is a lock while a task is under way.
# Seen: a task that has used its retries is archived, for 90 days, and no worker will touch it. Enqueue with its id answers
# ErrTaskIDConflict, as for one that is still waiting; Enqueue with Unique answers ErrDuplicateTask until the TTL ends. A
# replay of a dead event so looks like "enqueued before" and nothing ever runs. After success both are free.
# Output seen: archived 2, same id: task ID conflicts with another task, same unique task: task already exists
#              runs after both replays: 0
#              after success, same id: <nil>
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
export GOWORK=off GOFLAGS=-mod=mod

cat >main.go <<'GO'
package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/hibiken/asynq"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	redis, err := miniredis.Run()
	check(err)
	defer redis.Close()
	opt := asynq.RedisClientOpt{Addr: redis.Addr()}
	client, inspector := asynq.NewClient(opt), asynq.NewInspector(opt)
	server := asynq.NewServer(opt, asynq.Config{Concurrency: 1, LogLevel: asynq.FatalLevel, TaskCheckInterval: 100 * time.Millisecond})
	away := true
	var runs atomic.Int32
	check(server.Start(asynq.HandlerFunc(func(context.Context, *asynq.Task) error {
		runs.Add(1)
		if away {
			return errors.New("endpoint away")
		}
		return nil
	})))
	publish := func(event string, options ...asynq.Option) error {
		_, err := client.Enqueue(asynq.NewTask("publish", []byte(event)), append(options, asynq.MaxRetry(0))...)
		return err
	}
	settle := func() int {
		for range 100 {
			time.Sleep(100 * time.Millisecond)
			queue, err := inspector.GetQueueInfo("default")
			check(err)
			if queue.Pending+queue.Active == 0 {
				return queue.Archived
			}
		}
		panic("tasks are still under way")
	}
	check(publish("e-1", asynq.TaskID("e-1")))
	check(publish("e-2", asynq.Unique(time.Hour)))
	archived := settle()
	away = false
	runs.Store(0)
	fmt.Printf("archived %d, same id: %v, same unique task: %v\n", archived,
		publish("e-1", asynq.TaskID("e-1")), publish("e-2", asynq.Unique(time.Hour)))
	settle()
	time.Sleep(time.Second)
	fmt.Println("runs after both replays:", runs.Load())
	check(publish("e-3", asynq.TaskID("e-3")))
	settle()
	fmt.Println("after success, same id:", publish("e-3", asynq.TaskID("e-3")))
}
GO
go mod init probe 2>/dev/null
timeout 300 go get github.com/hibiken/asynq@v0.26.0 github.com/alicebob/miniredis/v2@v2.40.0 2>/dev/null
timeout 300 go build -o probe .
timeout 60 ./probe | tee out
diff out - <<'E'
archived 2, same id: task ID conflicts with another task, same unique task: task already exists
runs after both replays: 0
after success, same id: <nil>
E
