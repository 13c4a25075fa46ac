import com.sun.net.httpserver.HttpServer;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.Random;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Executors;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.CRC32;

/** A JVM with a heap that is collected, threads that compute, and a server that tells whether all is right. */
class HeapServer {
    static final int BLOCKS = 400;
    static final byte[][] blocks = new byte[BLOCKS][];
    static final long[] sums = new long[BLOCKS];
    static final AtomicLong spins = new AtomicLong();
    static final ConcurrentHashMap<Integer, String> map = new ConcurrentHashMap<>();

    static long sum(byte[] data) {
        CRC32 crc = new CRC32();
        crc.update(data);
        return crc.getValue();
    }

    static void spin() {
        ArrayList<byte[]> garbage = new ArrayList<>();
        while (true) {
            garbage.add(new byte[10_000]);
            if (garbage.size() > 500) garbage.clear();
            spins.incrementAndGet();
            Thread.onSpinWait();
            try { Thread.sleep(1); } catch (InterruptedException e) { return; }
        }
    }

    static String check(int count) {
        for (int n = 0; n < BLOCKS; n++)
            if (sum(blocks[n]) != sums[n]) return "block " + n + " differs";
        for (int n = 0; n < count; n++)
            if (!("value " + n).equals(map.get(n))) return "value " + n + " is lost";
        map.put(count, "value " + count);
        System.gc();
        return "ok";
    }

    public static void main(String[] words) throws Exception {
        Random random = new Random(7);
        for (int n = 0; n < BLOCKS; n++) {
            blocks[n] = new byte[20_000 + n];
            random.nextBytes(blocks[n]);
            sums[n] = sum(blocks[n]);
        }
        for (int n = 0; n < 3; n++) {
            Thread thread = new Thread(HeapServer::spin);
            thread.setDaemon(true);
            thread.start();
        }
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", 7003), 8);
        server.setExecutor(Executors.newFixedThreadPool(2));
        server.createContext("/", exchange -> {
            int count = Integer.parseInt(exchange.getRequestURI().getPath().substring(1));
            byte[] answer = (check(count) + " " + spins.get()).getBytes();
            exchange.getResponseHeaders().set("Connection", "close");
            exchange.sendResponseHeaders(200, answer.length);
            exchange.getResponseBody().write(answer);
            exchange.close();
        });
        server.start();
    }
}
