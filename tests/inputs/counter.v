// Synthesised by Yosys: a counter with a comparator, and a small multiplier.
module counter #(parameter WIDTH = 8) (
    input wire clk,
    input wire reset,
    input wire [WIDTH-1:0] limit,
    output reg [WIDTH-1:0] value,
    output wire wrapped
);
    assign wrapped = value == limit;
    always @(posedge clk)
        if (reset || wrapped)
            value <= 0;
        else
            value <= value + 1;
endmodule

module top (
    input wire clk,
    input wire reset,
    input wire [7:0] a,
    input wire [7:0] b,
    output reg [15:0] product,
    output wire tick
);
    wire [7:0] count;
    counter #(.WIDTH(8)) timer (.clk(clk), .reset(reset), .limit(a), .value(count), .wrapped(tick));
    always @(posedge clk)
        product <= a * b + {8'd0, count};
endmodule
