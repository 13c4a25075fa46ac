// A Go server: goroutines that pass numbers in a ring, a heap that is collected, timers; it tells whether all is right.
package main

import (
	"fmt"
	"hash/crc32"
	"math/rand"
	"net/http"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"
)

const ring = 1000

var (
	blocks [300][]byte
	sums   [300]uint32
	rounds int64
	ticks  int64
	kept   = map[int]string{}
)

func pass(in, out chan int) {
	for n := range in {
		out <- n + 1
	}
}

func main() {
	for n := range blocks {
		blocks[n] = make([]byte, 20000+n)
		rand.Read(blocks[n])
		sums[n] = crc32.ChecksumIEEE(blocks[n])
	}
	first := make(chan int)
	in := first
	for n := 0; n < ring; n++ {
		out := make(chan int)
		go pass(in, out)
		in = out
	}
	go func() {
		for n := 0; ; n += ring {
			first <- n
			if <-in != n+ring {
				panic("a number was lost in the ring")
			}
			atomic.AddInt64(&rounds, 1)
		}
	}()
	go func() {
		for range time.Tick(2 * time.Millisecond) {
			atomic.AddInt64(&ticks, 1)
		}
	}()
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		count, _ := strconv.Atoi(r.URL.Path[1:])
		for n := range blocks {
			if crc32.ChecksumIEEE(blocks[n]) != sums[n] {
				fmt.Fprintf(w, "block %d differs", n)
				return
			}
		}
		for n := 0; n < count; n++ {
			if kept[n] != fmt.Sprint("value ", n) {
				fmt.Fprintf(w, "value %d is lost", n)
				return
			}
		}
		kept[count] = fmt.Sprint("value ", count)
		runtime.GC()
		fmt.Fprint(w, "ok ", atomic.LoadInt64(&rounds)+atomic.LoadInt64(&ticks))
	})
	panic(http.ListenAndServe("127.0.0.1:7004", nil))
}
