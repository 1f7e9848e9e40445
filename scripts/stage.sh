#!/bin/sh
# How long each stage of `make test` takes, so that growth is seen. Nothing depends on it.
#   stage.sh begin | NAME COMMAND… | end
# NAME runs the command and notes its seconds, when a run has begun; end prints what was noted.
noted=build/stages

case $1 in
begin)
  mkdir -p build && : >"$noted"
  ;;
end)
  awk '{ printf "  %-20s %5d s\n", $1, $2; sum += $2 } END { printf "  %-20s %5d s\n", "together", sum }' "$noted"
  rm -f "$noted"
  ;;
*)
  name=$1
  shift
  began=$(date +%s)
  "$@"
  result=$?
  [ ! -e "$noted" ] || echo "$name $(($(date +%s) - began))" >>"$noted"
  exit $result
  ;;
esac
