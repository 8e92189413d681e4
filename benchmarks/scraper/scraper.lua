-- Asks for the pages of a file, one after the other and from the beginning again, at an even rhythm. wrk -s scraper.lua <url> -- <file> <milliseconds>
local pages, number, pause = {}, 0, 0

function init(arguments)
   for line in io.lines(arguments[1]) do
      pages[#pages + 1] = line
   end
   pause = tonumber(arguments[2])
   -- The threads begin at different places.
   math.randomseed(tonumber(tostring({}):sub(8)) or os.time())
   number = math.random(#pages)
end

function request()
   number = number % #pages + 1
   return wrk.format("GET", pages[number])
end

function delay()
   return pause
end
