// Evaluated by QuickJS: closures, maps, regular expressions and JSON; one line is printed.
const stock = new Map();
for (let n = 0; n < 200000; n++) {
    const name = `item-${(n * 7919) % 997}`;
    stock.set(name, (stock.get(name) ?? 0) + (n % 13));
}
const pick = (pattern) => [...stock].filter(([name]) => pattern.test(name)).map(([name, count]) => ({ name, count }));
const rows = JSON.parse(JSON.stringify(pick(/-(\d)\1/)));
const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
const order = rows.sort((a, b) => a.count - b.count || (a.name < b.name ? -1 : 1));
console.log(JSON.stringify({ rows: order.length, least: order[0].name, fib: fib(26), items: stock.size }));
