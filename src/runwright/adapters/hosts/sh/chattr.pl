#!/usr/bin/perl
# The kernel lets only the host's root set the immutable and append-only flags; the lab that made this
# machine sets them for its root on its files. All else is chattr's own work.
use strict;
use warnings;
use Cwd;
use Socket;
my ($mode) = grep { /^[-+=][A-Za-z]+$/ && !/^-[RVf]+$/ } @ARGV;
exec "/usr/bin/chattr", @ARGV unless defined $mode && $mode =~ /^[-+][ia]+$/ && $> == 0;
socket(my $lab, PF_UNIX, SOCK_STREAM, 0) or exec "/usr/bin/chattr", @ARGV;
connect($lab, pack_sockaddr_un("\0runwright-lab")) or exec "/usr/bin/chattr", @ARGV;
my $request = join("\0", getcwd(), @ARGV);
syswrite($lab, $request);
shutdown($lab, 1);
local $/;
my $answer = <$lab> // "1\nchattr: the lab did not answer\n";
my ($code, $text) = split /\n/, $answer, 2;
print STDERR $text if defined $text;
exit $code;
