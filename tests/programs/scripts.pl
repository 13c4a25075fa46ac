# perl: a child on pipes, an alarm, a hash with checksums; answers SIGUSR1 with a verdict.
use strict; use warnings;
use IPC::Open2; use Digest::MD5 qw(md5_hex); use POSIX qw(:signal_h);

my %data = map { $_ => join('', map { chr(int(rand(256))) } 1 .. 100 + $_) } 1 .. 500;
my %sums = map { $_ => md5_hex($data{$_}) } keys %data;
my ($ticks, $count) = (0, 0);
my $child = open2(my $from, my $to, 'cat');
$to->autoflush(1);
open(my $log, '+>', 'log.txt') or die;
$log->autoflush(1);

sub say_to { my ($name, $text) = @_; open(my $f, '>', "$name.part") or die; print $f $text; close $f; rename "$name.part", $name }
sub check {
    $count++;
    md5_hex($data{$_}) eq $sums{$_} or return "value $_ differs" for keys %data;
    print $to "line $count\n"; my $line = <$from>;
    $line eq "line $count\n" or return "the child said $line";
    print $log "$count\n";
    seek($log, 0, 0); my @lines = <$log>;
    @lines == $count or return scalar(@lines) . " lines instead of $count";
    return 'ok';
}
my $asked = 0;
my $set = POSIX::SigSet->new(SIGUSR1);
sigprocmask(SIG_BLOCK, $set);
$SIG{USR1} = sub { $asked++ };
$SIG{ALRM} = sub { $ticks++ };
say_to('ready', $$);
while (1) {
    sigsuspend(POSIX::SigSet->new());
    if ($asked) { $asked--; say_to('verdict', check()) }
}
