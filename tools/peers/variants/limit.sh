# bench/limit: a C program that only receives and sends the frames, as fast as packet sockets let it. The VIP is on no
# interface and ip_forward stays 0, as with natlb.
target() { echo "$VIP"; }
mac_of() { ip -n "$1" -o link show "$2" | sed -n 's/.*link\/ether \([0-9a-f:]*\).*/\1/p'; }
up() {
  local src=$LAB_DIR/../../bench/limit/limit.c bin=$RUN_DIR/limit
  [ "$bin" -nt "$src" ] || gcc -O2 -Wall -o "$bin" "$src"
  ip netns exec "$DIR" "$bin" $VIF $DIF $VIP $IPERF_PORT "$(mac_of "$CLI" eth0)" \
    $R1 "$(mac_of "$RS1" eth0)" $R2 "$(mac_of "$RS2" eth0)" >"$RUN_DIR/limit.log" 2>&1 &
  echo $! >"$RUN_DIR/director.pid"
  # the servers' switch must know both, or it sends what is for one to the other as well
  for s in "$RS1" "$RS2"; do nse "$s" bash -c "echo >/dev/udp/$DIP/9"; done
  sleep 0.3
  kill -0 "$(cat "$RUN_DIR/director.pid")" || { cat "$RUN_DIR/limit.log" >&2; return 1; }
}
down() { kill "$(cat "$RUN_DIR/director.pid")"; rm -f "$RUN_DIR/director.pid"; }
