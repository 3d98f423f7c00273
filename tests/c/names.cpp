// Names that want demangling: namespaces, templates, operators, lambdas, and libc++ in between.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace shop::goods {

template <typename T>
class Shelf {
public:
    __attribute__((noinline)) void put(std::string name, T price) { prices_[std::move(name)] += price; }

    __attribute__((noinline)) T total() const
    {
        T sum{};
        for (const auto &[name, price] : prices_)
            sum += price;
        return sum;
    }

    template <typename Visitor>
    __attribute__((noinline)) void visit(Visitor visitor) const
    {
        for (const auto &[name, price] : prices_)
            visitor(name, price);
    }

private:
    std::map<std::string, T> prices_;
};

struct Price {
    int cents = 0;
    __attribute__((noinline)) Price &operator+=(const Price &other)
    {
        cents += other.cents;
        return *this;
    }
};

class Visitor {
public:
    virtual ~Visitor() = default;
    virtual void see(const std::string &name, Price price) = 0;
};

class Printer final : public Visitor {
public:
    void see(const std::string &name, Price price) override { std::printf("%s %d\n", name.c_str(), price.cents); }
};

}  // namespace shop::goods

namespace {

__attribute__((noinline)) std::vector<int> sorted(std::vector<int> values)
{
    std::sort(values.begin(), values.end(), [](int a, int b) { return a % 10 < b % 10; });
    return values;
}

}  // namespace

int main()
{
    using namespace shop::goods;
    Shelf<Price> shelf;
    for (const char *name : {"tea", "salt", "tea", "oil"})
        shelf.put(name, Price{150});
    std::unique_ptr<Visitor> printer = std::make_unique<Printer>();
    shelf.visit([&](const std::string &name, Price price) { printer->see(name, price); });
    std::printf("total %d, first %d\n", shelf.total().cents, sorted({17, 23, 41})[0]);
    return 0;
}
