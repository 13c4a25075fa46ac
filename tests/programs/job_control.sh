#!/bin/bash
# bash with job control: a pipeline and a stopped job in groups of their own, variables, a here-document's descriptor, a trap.
set -m
checks=0
exec 7<<<$'line 1\nline 2\nline 3\nline 4\nline 5\nline 6\nline 7\nline 8\nline 9'
declare -A table=([one]=1 [two]=2)
mkfifo requests answers

while read -r line <&8; do echo "${line^^}"; done 8<>requests 9<>answers | tee -a log | while read -r line; do echo "$line" >&9; done 9<>answers &
pipeline=$!
exec 8<>requests 9<>answers
sleep 1000 &
sleeper=$!
kill -STOP $sleeper
(exit 7) &
wait $!
result=$?

check() {
    [ "${table[one]}${table[two]}" = 12 ] || { echo "variables"; return; }
    [ $result = 7 ] || { echo "status of a job: $result"; return; }
    [ "$(jobs -sp | wc -l)" = 1 ] || { echo "the stopped job: $(jobs)"; return; }
    [ "$(jobs -rp | wc -l)" = 1 ] || { echo "the running job: $(jobs)"; return; }
    echo "over the pipeline" >&8
    read -r -t 20 -u 9 got
    [ "$got" = "OVER THE PIPELINE" ] || { echo "the pipeline says: $got"; return; }
    read -r -t 20 -u 7 got
    [ "$got" = "line $((++checks))" ] || { echo "descriptor 7 says: $got"; return; }
    [ -d /proc/$sleeper ] || { echo "the sleeper is gone"; return; }
    echo ok
}
answer() { check >verdict.part 2>&1; mv verdict.part verdict; }
trap answer USR1

until [ "$(jobs -sp | wc -l)" = 1 ]; do :; done
echo $$ >ready.part && mv ready.part ready
while :; do wait $pipeline; done
