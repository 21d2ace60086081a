# nginx stream, one worker process. No UDP measured (its UDP is session based).
target() { echo "$VIP"; }
no_udp=1
up() {
  ip -n "$DIR" addr add $VIP/32 dev $VIF
  mod=/usr/lib/nginx/modules/ngx_stream_module.so
  cat > "$RUN_DIR/dir-nginx.conf" <<NG
load_module $mod;
daemon off; master_process off; pid $RUN_DIR/dir.nginx; error_log $RUN_DIR/dir.err crit;
events { worker_connections 16384; }
stream {
  # a share of the hash of a counter: each server gets about half of the connections
  split_clients "\$connection" \$web { 50% $R1:$HTTP_PORT; * $R2:$HTTP_PORT; }
  server { listen $VIP:$HTTP_PORT backlog=8192; proxy_pass \$web; }
  server { listen $VIP:$IPERF_PORT; proxy_pass $R1:$IPERF_PORT; }
}
NG
  ip netns exec "$DIR" nginx -c "$RUN_DIR/dir-nginx.conf" >/dev/null 2>&1 & echo $! > "$RUN_DIR/director.pid"
  sleep 0.5
}
down() { kill "$(cat "$RUN_DIR/director.pid")"; rm -f "$RUN_DIR/director.pid"; ip -n "$DIR" addr del $VIP/32 dev $VIF; sleep 0.3; }
