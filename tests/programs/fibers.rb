# ruby: fibers, threads with a queue, a child on pipes; answers SIGUSR1 with a verdict.
require 'digest'

data = (1..500).to_h { |n| [n, Random.new(n).bytes(100 + n)] }
sums = data.transform_values { |v| Digest::MD5.hexdigest(v) }
numbers = Enumerator.new { |y| n = 0; loop { y << (n += 1) } }
work, done = Queue.new, Queue.new
3.times { Thread.new { loop { n = work.pop; done << n * n } } }
spins = 0
Thread.new { loop { spins += 1; sleep 0.001 } }
child = IO.popen('cat', 'r+')
count = 0

say = ->(name, text) { File.write("#{name}.part", text); File.rename("#{name}.part", name) }
check = lambda do
  count += 1
  bad = data.find { |n, v| Digest::MD5.hexdigest(v) != sums[n] }
  next "value #{bad[0]} differs" if bad
  next 'the enumerator lost its place' unless numbers.next == count
  before = spins
  50.times { |n| work << n }
  next 'wrong squares' unless Array.new(50) { done.pop }.sort == (0...50).map { |n| n * n }
  child.puts "line #{count}"
  next 'the child is wrong' unless child.gets == "line #{count}\n"
  sleep 0.001 while spins == before
  'ok'
end

asked = Queue.new
trap('USR1') { asked << true }
say.('ready', Process.pid.to_s)
loop { asked.pop; say.('verdict', check.call) }
