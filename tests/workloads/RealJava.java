// SPDX-License-Identifier: BSD-2-Clause
//
// Keeps a Java virtual machine busy in its own code: garbage collection and compilation besides
// what it runs. RealJava [SECONDS]
import java.util.HashMap;
import java.util.Map;

public class RealJava {
    public static void main(String[] args) {
        double seconds = args.length > 0 ? Double.parseDouble(args[0]) : 3600;
        long end = System.nanoTime() + (long) (seconds * 1e9);
        Map<Integer, String[]> live = new HashMap<>();
        int i = 0;

        System.out.println("ready");
        while (System.nanoTime() < end) {
            String[] row = new String[16];
            for (int j = 0; j < row.length; j++) {
                row[j] = "n" + (i * 7919L + j);
            }
            live.put(i++ % 50000, row);
        }
        System.exit(live.isEmpty() ? 1 : 0);
    }
}
